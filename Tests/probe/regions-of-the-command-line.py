# SPDX-License-Identifier: BSD-3-Clause
"""With --region a back-end that cannot tell its regions is not asked, and can map into those of the option."""
from _probe import *

options = ("--region", f"3:{REGION}", "--region", f"0x20:{2 * PAGE:#x}")
backend = Backend(answers={GET_SHMEM_CONFIG: b"never to be asked"}).listen()
with backend, Probe(backend.path, *options) as probe:
    has(probe.ready(), regions=[{"shmid": 3, "size": REGION}, {"shmid": 32, "size": 2 * PAGE}])
    check(GET_SHMEM_CONFIG not in backend.requests, backend.requests)
    fd = memfd(2 * PAGE)
    equal(backend.map(fd, 0, 2 * PAGE, shmid=32), 0, "answer")
    probe.event("map", result=0)
    equal(probe.read(0, 2 * PAGE, shmid=32), pattern(2 * PAGE), "what was mapped")
    check(backend.map(fd, 0, PAGE, shmid=0) < 0, "a region that nobody spoke of")
    probe.event("map", shmid=0)
    probe.quit()
