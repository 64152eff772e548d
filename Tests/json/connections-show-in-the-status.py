# SPDX-License-Identifier: BSD-3-Clause
"""The status of a front-end is JSON from its beginning to its end, and has what was negotiated. So has the status of a channel alone."""
from _library import *


def pump(frontend, until):
    for _ in range(100 * PATIENCE_S):
        if until():
            return
        frontend_dispatch(frontend)
        threading.Event().wait(0.01)
    check(False, "it does not come to it")


with Backend(regions={0: REGION, 7: PAGE}).listen() as backend:
    frontend = frontend_new(backend.path.encode(), None, None)
    has(status(frontend), state="new", reason=None, socket_path=backend.path, server=False, resets=0, started=False)
    equal(frontend_connect(frontend, PATIENCE_S * 1000, None), 0, "connect")
    seen = has(status(frontend), state="ready", waiting_for=None, features=VIRTIO_FEATURES, shmem_bit=22, max_queues=2, queues=1)
    has(seen, protocol_features=backend.accepted, unknown_protocol_features=0)
    equal(seen["protocol_feature_names"], [name for bit, name in enumerate(NAMES) if backend.accepted >> bit & 1], "names")
    has(seen["channel"], state="open", reason=None, answers_unread=False, owes_answer=False)
    equal([(region["shmid"], region["size"]) for region in seen["device"]["regions"]], [(0, REGION), (7, PAGE)], "regions")

    fd = memfd(REGION)
    backend.send(MAP, MMAP.pack(0, PAGE, 2 * PAGE, PAGE, MAP_RW), [fd])
    backend.send(MAP, MMAP.pack(0, 0, 2 * PAGE, PAGE, 0), [fd])
    pump(frontend, lambda: status(frontend)["requests"]["map"] == {"served": 1, "refused": 1})
    region = frontend_status(frontend, 9)["device"]["regions"][0]
    mapping = {"shm_offset": 2 * PAGE, "len": PAGE, "fd_offset": PAGE, "rw": True, "broken": False}
    equal(region["mappings"], [mapping], "mappings")
    equal(frontend_status(frontend, 0)["device"], device_status(frontend_device(frontend), 0), "the device alone")

    backend.close_main()
    pump(frontend, lambda: status(frontend)["state"] == "disconnected")
    seen = status(frontend)
    check(seen["reason"], seen)
    equal(seen["device"]["regions"][0]["counters"], {"maps": 1, "unmaps": 1, "mapped_bytes": PAGE, "unmapped_bytes": PAGE}, seen)
    frontend_free(frontend)

device = device_new(None, None)
ours, theirs = socket.socketpair()
channel = channel_new(os.dup(ours.fileno()), device, None, None)
seen = channel_status(channel, 0)
equal(sorted(seen), ["channel", "device", "requests", "resets", "resetting"], "keys")
channel_free(channel)
device_unref(device)
