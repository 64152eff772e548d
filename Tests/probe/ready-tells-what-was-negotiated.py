# SPDX-License-Identifier: BSD-3-Clause
"""The first line has the features, the queues and the regions. The handshake makes its requests in the order that back-ends expect."""
from _probe import *

with together(regions={0: REGION, 7: PAGE, 255: 1 << 30}) as (backend, probe):
    equal(
        backend.requests,
        [GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, SET_BACKEND_REQ_FD]
        + [SET_OWNER, GET_FEATURES, SET_VRING_CALL, SET_VRING_ERR, GET_SHMEM_CONFIG],
        "requests",
    )
    probe.quit()

backend = Backend(regions={0: REGION, 7: PAGE, 255: 1 << 30}).listen()
with backend, Probe(backend.path) as probe:
    ready = probe.ready()
    has(ready, features=VIRTIO_FEATURES, virtio_features=["PROTOCOL_FEATURES", "VERSION_1"], max_queues=2)
    has(ready, regions=[{"shmid": 0, "size": REGION}, {"shmid": 7, "size": PAGE}, {"shmid": 255, "size": 1 << 30}])
    # The largest first, so that no room between them is lost. The BAR is a power of two.
    places = [{"shmid": 0, "offset": 1 << 30, "len": REGION}, {"shmid": 7, "offset": (1 << 30) + REGION, "len": PAGE}]
    has(ready, bar_size=2 << 30, bar=[*places, {"shmid": 255, "offset": 0, "len": 1 << 30}])
    for name in ("REPLY_ACK", "BACKEND_REQ", "BACKEND_SEND_FD", "RESET_DEVICE", "SHMEM"):
        check(name in ready["protocol_features"], name, "is missing in", ready)
    equal(len(ready["protocol_features"]), bin(backend.accepted).count("1"), "features with a name")
    probe.quit()

# A back-end that can do little, and has no region.
backend = Backend(regions={}, bits=(BACKEND_REQ,)).listen()
with backend, Probe(backend.path) as probe:
    has(probe.ready(), protocol_features=["BACKEND_REQ", "SHMEM"], max_queues=1, regions=[], bar_size=0, bar=[])
    probe.quit(4)
