# SPDX-License-Identifier: BSD-3-Clause
"""Old back-ends that know SHMEM as bit 20 or 21 are served if --shmem-bit says so. Otherwise they can map nothing."""
from _probe import *

for bit in (20, 21, 22):
    with together("--shmem-bit", str(bit), shmem=bit) as (backend, probe):
        equal(backend.accepted >> 20, 1 << (bit - 20), "accepted from bit 20 on")
        equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
        probe.event("map", result=0)
        equal(probe.read(0, PAGE), pattern(PAGE), "what was mapped")
        probe.quit()

# The names say what was negotiated, not what the bit means elsewhere.
backend = Backend(shmem=20).listen()
with backend, Probe(backend.path, "--shmem-bit", "20") as probe:
    names = probe.ready()["protocol_features"]
    check("SHMEM" in names and "GET_VRING_BASE_INFLIGHT" not in names, names)
    probe.quit()

# Without --shmem-bit the bit means something else.
for bit in (20, 21):
    backend = Backend(shmem=bit).listen()
    with backend, Probe(backend.path) as probe:
        ready = has(probe.ready(), regions=[])
        check("SHMEM" not in ready["protocol_features"], ready)
        equal(backend.accepted >> 22, 0, "accepted from bit 22 on")
        check(GET_SHMEM_CONFIG not in backend.requests, backend.requests)
        check(backend.map(memfd(PAGE), 0, PAGE) < 0, "it was mapped")
        probe.event("map")
        probe.quit(4)
