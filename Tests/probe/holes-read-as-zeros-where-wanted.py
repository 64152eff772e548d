# SPDX-License-Identifier: BSD-3-Clause
"""With --holes zero a hole reads as zeros, as a guest sees it. Without it, the read is an error. Nobody can write to a hole."""
from _probe import *

with together("--holes", "zero") as (backend, probe):
    equal(probe.read(0, REGION), bytes(REGION), "an empty region")
    equal(backend.map(memfd(PAGE), PAGE, PAGE, rw=True), 0, "answer")
    probe.event("map", result=0)
    equal(probe.read(0, 3 * PAGE), bytes(PAGE) + pattern(PAGE) + bytes(PAGE), "a mapping between holes")
    is_error(probe.ask("write 0 0 00"), "not mapped")
    is_error(probe.ask(f"write 0 {2 * PAGE - 1} 0000"), "not mapped")
    is_error(probe.ask(f"read 0 {REGION} 1"))
    equal(backend.unmap(PAGE, PAGE), 0, "answer")
    probe.event("unmap", result=0)
    equal(probe.read(PAGE, PAGE), bytes(PAGE), "where it was")
    probe.quit()

for options in ((), ("--holes", "fault")):
    with together(*options) as (backend, probe):
        is_error(probe.ask("read 0 0 1"), "not mapped")
        is_error(probe.ask("write 0 0 00"), "not mapped")
        probe.quit()
