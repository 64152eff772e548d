# SPDX-License-Identifier: BSD-3-Clause
"""Numbers are decimal, or hexadecimal after 0x; nothing else is a number."""
from _probe import *

with together(regions={16: REGION}) as (backend, probe):
    equal(backend.map(memfd(REGION), 0, REGION, rw=True, shmid=16), 0, "answer")
    probe.event("map")
    wanted = pattern(REGION)[0x1010 : 0x1010 + 32].hex()
    for command in (
        "read 16 4112 32",
        "read 0x10 0x1010 0x20",
        "read 0x10 4112 0x20",
        "read 016 04112 032",
        "read 0x0010 0x00001010 0x000020",
        "  read\t16  4112 \t 32  ",
        "read 16 4112 32\r",
    ):
        equal(is_answer(probe.ask(command))["hex"], wanted, command)
    for upper in ("read 16 0xaBc 1", "read 16 0xAbC 1", "read 16 2748 1"):
        equal(is_answer(probe.ask(upper))["hex"], pattern(REGION)[2748:2749].hex(), upper)
    for number in ("0x", "1o", "10h", "+1", "-1", "1.0", "1e1", "0b1", "0xg", "x10", "1_0", "١"):
        is_error(probe.ask(f"read 16 {number} 1"))
        is_error(probe.ask(f"read 16 0 {number}"))
        is_error(probe.ask(f"read {number} 0 1"))
        is_error(probe.ask(f"write 16 {number} 00"))
    probe.quit()
