# SPDX-License-Identifier: BSD-3-Clause
"""A file that is truncated under its mapping makes reads and writes fail. The program lives, and the remaining part can be read."""
from _probe import *

with together() as (backend, probe):
    fd = memfd(4 * PAGE)
    equal(backend.map(fd, 0, 4 * PAGE, rw=True), 0, "answer")
    probe.event("map", result=0)
    equal(probe.read(0, 4 * PAGE), pattern(4 * PAGE), "what was mapped")

    os.ftruncate(fd, PAGE)
    has(is_error(probe.ask(f"read 0 {PAGE} 1"), "truncated"), command="read")
    is_error(probe.ask(f"read 0 0 {4 * PAGE}"), "truncated")
    has(is_error(probe.ask(f"write 0 {3 * PAGE} 00"), "truncated"), command="write")
    # A partial write does nothing.
    is_error(probe.ask(f"write 0 {PAGE - 1} ffff"), "truncated")
    equal(probe.read(0, PAGE), pattern(PAGE), "what is left")
    equal(os.fstat(fd).st_size, PAGE, "the file's size")

    os.ftruncate(fd, 4 * PAGE)
    equal(probe.read(0, 4 * PAGE), pattern(PAGE) + bytes(3 * PAGE), "the file, grown again")

    # The whole file is gone.
    os.ftruncate(fd, 0)
    is_error(probe.ask("read 0 0 1"), "truncated")
    equal(backend.unmap(0, 4 * PAGE), 0, "answer")
    probe.event("unmap", result=0)
    equal(probe.events, [], "events")
    probe.quit()
