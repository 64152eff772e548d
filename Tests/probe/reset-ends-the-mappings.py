# SPDX-License-Identifier: BSD-3-Clause
"""`reset` ends every mapping, tells the back-end if it supports that, and is answered when the reset is over."""
from _probe import *

for bits in (PROTOCOL_BITS, tuple(bit for bit in PROTOCOL_BITS if bit != RESET_DEVICE_BIT)):
    with together(bits=bits) as (backend, probe):
        fd = memfd(REGION)
        for _ in range(3):
            equal(backend.map(fd, 0, PAGE), 0, "answer")
            equal(backend.map(fd, 4 * PAGE, PAGE, rw=True), 0, "answer")
            probe.event("map", result=0), probe.event("map", result=0)
            has(is_answer(probe.ask("reset")), command="reset")
            probe.event("reset")
            has(probe.status(), mapped_bytes=0, mappings=[], ready=True, channel=True)
            is_error(probe.ask("read 0 0 1"), "not mapped")
            equal(backend.unmap(0, PAGE), -errno.ENOENT, "answer")
            probe.event("unmap", result=-errno.ENOENT)
        equal(probe.status()["counters"]["resets"], 3, "resets")
        equal(backend.requests.count(RESET_DEVICE), 3 if RESET_DEVICE_BIT in bits else 0, "RESET_DEVICE")
        probe.quit()
