# SPDX-License-Identifier: BSD-3-Clause
"""`write` changes the file through a read-write mapping, never through a read-only one, and never only in part."""
from _probe import *

with together() as (backend, probe):
    fd = memfd(4 * PAGE)
    equal(backend.map(fd, 0, 2 * PAGE, rw=True), 0, "answer")
    equal(backend.map(fd, 2 * PAGE, 2 * PAGE, fd_offset=2 * PAGE), 0, "answer")
    probe.event("map"), probe.event("map")

    has(is_answer(probe.ask(f"write 0 {PAGE - 2} 00fFAb10")), command="write", written=4)
    equal(os.pread(fd, 4, PAGE - 2), b"\x00\xff\xab\x10", "the file")
    equal(probe.read(PAGE - 2, 4), b"\x00\xff\xab\x10", "the window")

    before = os.pread(fd, 4 * PAGE, 0)
    has(is_error(probe.ask(f"write 0 {2 * PAGE} 00"), "read-only"), command="write")
    is_error(probe.ask(f"write 0 {2 * PAGE - 1} 0000"), "read-only")
    is_error(probe.ask(f"write 0 {4 * PAGE} 00"), "not mapped")
    equal(os.pread(fd, 4 * PAGE, 0), before, "the file")
    equal(probe.status()["counters"]["written_bytes"], 4, "bytes written")

    # The longest possible write.
    probe.quit()

with together(regions={0: 1 << 21}) as (backend, probe):
    fd = memfd(1 << 20)
    equal(backend.map(fd, 0, 1 << 20, rw=True), 0, "answer")
    probe.event("map")
    new = pattern(1 << 20, 5)
    has(is_answer(probe.ask("write 0 0 " + new.hex())), written=1 << 20)
    equal(os.pread(fd, 1 << 20, 0), new, "the file")
    equal(probe.read(0, 1 << 20), new, "the window")
    is_error(probe.ask("write 0 0 " + new.hex() + "00"))
    is_error(probe.ask("read 0 0 0x100001"))
    probe.quit()
