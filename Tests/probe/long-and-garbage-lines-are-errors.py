# SPDX-License-Identifier: BSD-3-Clause
"""Whatever comes on standard input, each line with content gets one answer, memory is bounded, and the next command works."""
import random

from _probe import *

with together() as (backend, probe):
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    probe.event("map", result=0)

    # Empty lines get no answer.
    probe.write("\n\n  \n\t\r\n# a comment\n")
    equal(probe.read(0, 8), pattern(8), "behind empty lines")

    garbage = [
        b"\0",
        b"status\0",
        b"\xff\xfe\xfd",
        b"\x1b[2J",
        b"\xc3\x28 \xe2\x82",
        "état".encode(),
        b"read " + b"0 " * 1000,
        b"a" * 100_000,
        b'{"event":"quit"}',
        b"%s%n%d",
    ]
    source = random.Random(1)
    for _ in range(200):
        line = source.randbytes(source.randrange(1, 60)).replace(b"\n", b"x")
        if line.strip(b" \t\r") and line.strip(b" \t\r")[:1] != b"#":
            garbage.append(line)
    for line in garbage:
        probe.write(line + b"\n")
        is_error(probe.answer())
    equal(probe.read(0, 8), pattern(8), "behind garbage")

    # A command may come in pieces, and many at once.
    for byte in b"read 0 0 8\n":
        probe.write(bytes([byte]))
    equal(is_answer(probe.answer())["hex"], pattern(8).hex(), "a command in pieces")
    probe.write("read 0 0 8\n" * 1000)
    for _ in range(1000):
        equal(is_answer(probe.answer())["hex"], pattern(8).hex(), "one of many")

    # Lines that are longer than any command are not kept. Each gets one answer.
    for size in (2 << 20, (2 << 20) + 256, (2 << 20) + 257, 5 << 20, 32 << 20):
        before = int(open(f"/proc/{probe.process.pid}/statm").read().split()[1]) * PAGE
        for _ in range(size >> 16):
            probe.write(b"x" * (1 << 16))
        probe.write(b"x" * (size & 0xFFFF) + b"\n")
        is_error(probe.answer())
        after = int(open(f"/proc/{probe.process.pid}/statm").read().split()[1]) * PAGE
        if "ASAN_OPTIONS" not in os.environ:
            check(after < before + (16 << 20), f"{after - before} bytes more for a line of {size}")
    equal(probe.read(0, 8), pattern(8), "behind long lines")

    # A line that never ends.
    probe.write(b"read 0 0 8" + b" " * (3 << 20))
    probe.process.stdin.close()
    is_error(probe.answer())
    equal(probe.wait(), 0, "exit status")
    probe.said_all()
