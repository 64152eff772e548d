# SPDX-License-Identifier: BSD-3-Clause
"""A touch of pages that a truncated file has lost gives zeros. The mapping is broken. The program reports that once, and the status has
it."""
from _probe import *

with together() as (backend, probe):
    fd, other = memfd(4 * PAGE), memfd(PAGE, 2)
    equal(backend.map(fd, PAGE, 4 * PAGE, rw=True), 0, "answer")
    probe.event("map", result=0)
    equal(backend.map(other, 0, PAGE), 0, "answer")
    probe.event("map", result=0)
    equal(bytes.fromhex(probe.ask(f"touch 0 {PAGE} {4 * PAGE}")["hex"]), pattern(4 * PAGE), "what was mapped")
    equal([mapping["broken"] for mapping in probe.ask("status")["mappings"]], [False, False], "broken")

    os.ftruncate(fd, PAGE)
    equal(bytes.fromhex(probe.ask(f"touch 0 {PAGE} {4 * PAGE}")["hex"]), pattern(PAGE) + bytes(3 * PAGE), "what is left")
    has(probe.event("broken", shmid=0, shm_offset=PAGE), len=4 * PAGE)
    equal([mapping["broken"] for mapping in probe.ask("status")["mappings"]], [False, True], "broken")
    equal(bytes.fromhex(probe.ask(f"touch 0 0 {2 * PAGE}")["hex"]), pattern(PAGE, 2) + pattern(PAGE), "its neighbours")

    # Another mapping in its place works as before.
    equal(backend.unmap(PAGE, 4 * PAGE), 0, "answer")
    probe.event("unmap", result=0)
    is_error(probe.ask(f"touch 0 {PAGE} 1"), "not mapped")
    os.ftruncate(fd, 4 * PAGE)
    equal(backend.map(fd, PAGE, 4 * PAGE), 0, "answer")
    probe.event("map", result=0)
    equal([mapping["broken"] for mapping in probe.ask("status")["mappings"]], [False, False], "broken")
    is_error(probe.ask("touch 0 0 0"), "LEN")
    is_error(probe.ask("touch 0 0"), "touch SHMID OFFSET LEN")
    equal(probe.events, [], "events")
    probe.quit()

with together("--holes", "zero") as (backend, probe):
    equal(bytes.fromhex(probe.ask("touch 0 0 16")["hex"]), bytes(16), "a hole")
    probe.quit()
