# SPDX-License-Identifier: BSD-3-Clause
"""A command that fails is answered with an error, one line each, and the next one works."""
from _probe import *

with together(regions={0: REGION, 1: PAGE}) as (backend, probe):
    equal(backend.map(memfd(2 * PAGE), 0, 2 * PAGE, rw=True), 0, "answer")
    probe.event("map")

    for command in (
        "nonsense",
        "READ 0 0 1",
        "read",
        "read 0",
        "read 0 0",
        "read 0 0 1 1",
        "read 0 0 1 1 1 1 1",
        "read 0 0 0",
        "read x 0 1",
        "read 0 x 1",
        "read 0 0 x",
        "read 256 0 1",
        "read -1 0 1",
        "read 0 -1 1",
        "read 0 0 -1",
        "read 2 0 1",
        f"read 0 {2 * PAGE} 1",
        f"read 0 {2 * PAGE - 1} 2",
        f"read 0 {REGION} 1",
        f"read 0 {REGION - 1} 2",
        f"read 1 0 {2 * PAGE}",
        "read 1 0 1",
        "read 0 0xffffffffffffffff 1",
        "read 0 18446744073709551616 1",
        "read 0 0 18446744073709551615",
        "read 0 0 1048577",
        "write",
        "write 0 0",
        "write 0 0 0",
        "write 0 0 000",
        "write 0 0 0x00",
        "write 0 0 zz",
        "write 0 0 00 00",
        "write 2 0 00",
        "write 0 x 00",
        f"write 0 {REGION} 00",
        f"write 0 {2 * PAGE - 1} 0000",
        "write 1 0 00",
        "status 1",
        "status x y",
        "reset now",
        "quit now",
        '"',
        "\\",
    ):
        answer = is_error(probe.ask(command))
        for name in ("hex", "written"):
            check(name not in answer, f"{name} in the answer to {command}: {answer}")
        check(answer.get("command") in (None, command.split()[0]), answer)
    equal(probe.read(0, 2 * PAGE), pattern(2 * PAGE), "what is mapped")
    equal(probe.events, [], "events")
    probe.quit()
