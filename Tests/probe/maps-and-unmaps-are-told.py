# SPDX-License-Identifier: BSD-3-Clause
"""Each map and unmap is reported after its answer, with the value of the answer."""
from _probe import *

with together(regions={0: REGION, 3: REGION}) as (backend, probe):
    fd = memfd(4 * PAGE)
    for shmid, rw, offset in ((0, False, 0), (3, True, 2 * PAGE)):
        equal(backend.map(fd, PAGE, 2 * PAGE - 100, rw, offset, shmid), 0, "answer")
        told = probe.event("map", shmid=shmid, shm_offset=PAGE, len=2 * PAGE - 100, fd_offset=offset, rw=rw, result=0)
        check("message" not in told, told)
    equal(probe.read(PAGE, 2 * PAGE - 100), pattern(4 * PAGE)[: 2 * PAGE - 100], "what was mapped")
    equal(backend.unmap(PAGE, 2 * PAGE - 100, 3), 0, "answer")
    told = probe.event("unmap", shmid=3, shm_offset=PAGE, len=2 * PAGE - 100, result=0)
    check("message" not in told, told)
    probe.no_event()
    probe.quit()
