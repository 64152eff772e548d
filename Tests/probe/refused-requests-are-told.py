# SPDX-License-Identifier: BSD-3-Clause
"""A refused request is reported with the negative errno of the answer, and with a sentence. Nothing else changes."""
from _probe import *

with together() as (backend, probe):
    fd = memfd(4 * PAGE)
    equal(backend.map(fd, 0, PAGE), 0, "answer")
    probe.event("map", result=0)

    for wanted, arguments in (
        (errno.EEXIST, (0, PAGE)),
        (errno.EINVAL, (2 * PAGE, 0)),
        (errno.EINVAL, (REGION, PAGE)),
        (errno.EINVAL, (2**64 - PAGE, 2 * PAGE)),
        (errno.EINVAL, (PAGE + 1, PAGE)),
        (errno.EOVERFLOW, (PAGE, 5 * PAGE)),
    ):
        equal(backend.map(fd, *arguments), -wanted, "answer to", arguments)
        told = probe.event("map", shm_offset=arguments[0], len=arguments[1], result=-wanted)
        check(isinstance(told.get("message"), str) and told["message"], told)

    no_region = backend.map(fd, 0, PAGE, shmid=9)
    check(no_region < 0, no_region)
    probe.event("map", shmid=9, result=no_region)
    pipe = os.pipe()
    equal(backend.map(pipe[0], PAGE, PAGE), -errno.ENODEV, "answer to a pipe")
    probe.event("map", result=-errno.ENODEV)

    for wanted, arguments in ((errno.ENOENT, (PAGE, PAGE)), (errno.EINVAL, (0, 2 * PAGE))):
        equal(backend.unmap(*arguments), -wanted, "answer to", arguments)
        told = probe.event("unmap", shm_offset=arguments[0], len=arguments[1], result=-wanted)
        check(isinstance(told.get("message"), str) and told["message"], told)

    has(probe.status(), mapped_bytes=PAGE)
    equal(probe.status()["counters"]["refused"], 10, "refused")
    equal(probe.read(0, PAGE), pattern(PAGE), "what was mapped")
    probe.quit()
