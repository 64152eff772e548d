# SPDX-License-Identifier: BSD-3-Clause
"""`status` has the regions, the live mappings in order, and the counts since the beginning."""
from _probe import *

with together(regions={0: REGION, 5: 2 * PAGE}) as (backend, probe):
    regions = [{"shmid": 0, "size": REGION}, {"shmid": 5, "size": 2 * PAGE}]
    names = ("maps", "unmaps", "refused", "resets", "total_mapped_bytes", "read_bytes", "written_bytes")
    has(probe.status(), ready=True, channel=True, regions=regions, mapped_bytes=0, mappings=[])
    equal(probe.status()["counters"], dict.fromkeys(names, 0), "counters")

    fd = memfd(REGION)
    equal(backend.map(fd, 8 * PAGE, 2 * PAGE, rw=True, fd_offset=PAGE), 0, "answer")
    equal(backend.map(fd, 0, 100), 0, "answer")
    equal(backend.map(fd, PAGE, PAGE, shmid=5), 0, "answer")
    equal(backend.map(fd, PAGE, PAGE, shmid=5), -errno.EEXIST, "answer")
    equal(backend.map(fd, 0, PAGE, shmid=5), 0, "answer")
    equal(backend.unmap(0, PAGE, shmid=5), 0, "answer")
    equal(len(probe.read(0, 100)), 100, "bytes")
    is_answer(probe.ask(f"write 0 {8 * PAGE} 0102"))

    def mapping(shmid, shm_offset, length, fd_offset=0, rw=False):
        return {"shmid": shmid, "shm_offset": shm_offset, "len": length, "fd_offset": fd_offset, "rw": rw, "broken": False}

    status = has(probe.status(), ready=True, channel=True, regions=regions, mapped_bytes=4 * PAGE)
    equal(status["mappings"], [mapping(0, 0, 100), mapping(0, 8 * PAGE, 2 * PAGE, PAGE, True), mapping(5, PAGE, PAGE)], "all")
    counts = (4, 1, 1, 0, 4 * PAGE + 100, 100, 2)
    equal(status["counters"], dict(zip(names, counts)), "counters")
    for name in ("map", "map", "map", "map", "map", "unmap"):
        probe.event(name)
    probe.quit()
