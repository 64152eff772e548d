# SPDX-License-Identifier: BSD-3-Clause
"""`read` answers with the bytes of the mapped files, across mappings that touch, and follows maps and unmaps."""
from _probe import *

with together() as (backend, probe):
    one, two = memfd(4 * PAGE, 1), memfd(4 * PAGE, 2)
    equal(backend.map(one, PAGE, PAGE, fd_offset=2 * PAGE), 0, "answer")
    equal(backend.map(two, 2 * PAGE, 2 * PAGE, rw=True), 0, "answer")
    both = pattern(4 * PAGE, 1)[2 * PAGE : 3 * PAGE] + pattern(2 * PAGE, 2)
    equal(probe.read(PAGE, 3 * PAGE), both, "both")
    equal(probe.read(PAGE + 7, 1), both[7:8], "one byte")
    equal(probe.read(2 * PAGE - 3, 6), both[PAGE - 3 : PAGE + 3], "six bytes where they touch")

    # The file is shared: read sees what its owner writes.
    os.pwrite(one, b"news", 2 * PAGE)
    equal(probe.read(PAGE, 4), b"news", "what was written to the file")

    equal(backend.unmap(PAGE, PAGE), 0, "answer")
    is_error(probe.ask(f"read 0 {PAGE} 1"), "not mapped")
    equal(backend.map(two, PAGE, PAGE), 0, "answer")
    equal(probe.read(PAGE, PAGE), pattern(PAGE, 2), "the other file")
    for name in ("map", "map", "unmap", "map"):
        probe.event(name, result=0)
    probe.quit()
