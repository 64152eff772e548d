# SPDX-License-Identifier: BSD-3-Clause
"""A killed back-end ends the mappings, not the program: commands are answered, and the program ends with 3."""
from _probe import *


def is_over(probe):
    """After the death of its back-end."""
    record = probe.line()
    if record["event"] == "channel_lost":
        record = probe.line()
    has(record, event="disconnect")
    check(record["message"] and record["result"] < 0, record)
    has(probe.status(), ready=False, channel=False, mapped_bytes=0, mappings=[])
    has(is_error(probe.ask("read 0 0 1"), "gone"), command="read")
    has(is_error(probe.ask("write 0 0 00"), "gone"), command="write")
    has(is_error(probe.ask("reset"), "gone"), command="reset")
    equal(probe.events, [], "events")


# Another process, killed.
path = os.path.join(folder(), "s")
with Probe(path, "--server") as probe:
    while not os.path.exists(path):
        check(probe.process.poll() is None, "it has ended")
        threading.Event().wait(0.01)
    peer = subprocess.Popen([os.path.join(os.environ["VHUSHMEM_PEERS"], "map-and-wait"), path])
    try:
        probe.ready()
        probe.event("map", result=0, shm_offset=0, len=PAGE)
        equal(probe.read(0, PAGE), pattern(PAGE), "what was mapped")
    finally:
        kill(peer)
    is_over(probe)
    probe.quit(3)

# Both sockets closed, in either order.
for channel_first in (True, False):
    with together() as (backend, probe):
        equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
        probe.event("map", result=0)
        if channel_first:
            backend.close_channel()
        backend.close()
        is_over(probe)
        probe.end_input(3)
