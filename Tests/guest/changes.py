# SPDX-License-Identifier: BSD-3-Clause
"""The host truncates, rewrites and replaces files while the guest reads and maps them. The monitor looks at mapped memory and at holes."""

import os
import re

from _guest import CHUNK, QEMU, SURVIVES, Device, boot, folder, has_ended, is_well, mount, stamped
from common.cases import SCRATCH, Skip, case, check, equal, run, until

shared = folder("shared")
device = Device("files", shared, window="16M")
guest = None


def start():
    global guest
    guest = boot(device)
    mount(guest, device)


def window():
    """The window's address in the guest: the base of a BAR of 16 MiB."""
    said = guest.run("cat /sys/bus/pci/devices/*/resource")
    for line in said.splitlines():
        first, last, _ = (int(word, 16) for word in line.split())
        if first and last - first + 1 == 16 << 20:
            return first
    raise AssertionError(said)


def monitor(line):
    return guest.qmp("human-monitor-command", command_line=line).replace("\r", "")


def xp(at):
    """The first 8 bytes at an address of the guest; none if nothing is there."""
    return bytes(int(word, 16) for word in re.findall(r"0x([0-9a-f]{2})\b", monitor(f"xp /8xb {at:#x}").split(":", 1)[-1]))


def watch(name):
    guest.run(f"rm -f /tmp/watch; mapped watch /mnt/{name} > /tmp/watch & W=$!")
    until(lambda: "begun" in guest.run("cat /tmp/watch"), "the guest looks")


def watched():
    said = guest.run("kill $W; wait $W; cat /tmp/watch")
    match = re.search(r"words (\d+) zero (\d+) faults (\d+) values (.*)", said)
    return int(match[2]), int(match[3]), [int(word) for word in match[4].split()]


@case("the monitor reads a mapping and a hole")
def _():
    start()
    (shared / "stamped").write_bytes(stamped(512, 77))
    equal(guest.run("mapped pages /mnt/stamped 2097152"), "words 512 zero 0 faults 0 values 77")
    base = window()
    seen = [xp(base + n * CHUNK + 4096) for n in range(8)]
    equal(seen.count((77).to_bytes(8, "little")), 1, "chunks that show the file")
    # QEMU 11.1 has no memory in a hole, and says so. A window that shows zeros is memory everywhere.
    check(all(not any(each) for each in seen if each[:1] != b"M"), seen)
    is_well(guest)


@case("dump-guest-memory and pmemsave over mappings and holes")
def _():
    core = SCRATCH / "core"
    guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{core}")
    check(core.stat().st_size >= 256 << 20, core.stat().st_size)
    core.unlink()
    saved = SCRATCH / "saved"
    guest.qmp("pmemsave", val=window(), size=16 << 20, filename=str(saved))
    data = saved.read_bytes()
    equal(data.count(stamped(512, 77)), 1, "copies of the file in what was saved")
    equal(len(data), 16 << 20)
    saved.unlink()
    is_well(guest)


@case("the host replaces a file by another of its name")
def _():
    (shared / "replaced").write_bytes(stamped(512, 5))
    watch("replaced")
    (shared / "other").write_bytes(stamped(512, 6))
    os.rename(shared / "other", shared / "replaced")
    until(lambda: guest.run("mapped pages /mnt/replaced 2097152").endswith("values 6"), "the guest opens the new one")
    equal(watched(), (0, 0, [5]), "a program that has the old one open keeps it")


@case("the host rewrites a file in place while the guest loads it")
def _():
    (shared / "rewritten").write_bytes(stamped(512, 10))
    watch("rewritten")
    for stamp in range(11, 15):
        with (shared / "rewritten").open("r+b") as file:
            file.write(stamped(512, stamp))
        until(lambda stamp=stamp: guest.run("mapped pages /mnt/rewritten 2097152").endswith(f"values {stamp}"), "the guest sees it")
    equal(watched(), (0, 0, [10, 11, 12, 13, 14]))


@case("the host appends to a file that the guest has mapped")
def _():
    (shared / "grows").write_bytes(stamped(512, 20))
    watch("grows")
    with (shared / "grows").open("ab") as file:
        file.write(stamped(512, 21))
    until(lambda: guest.run("stat -c %s /mnt/grows").strip() == str(2 * CHUNK), "the guest sees the size")
    equal(guest.run("mapped pages /mnt/grows 4194304").split("values ")[1], "20 21")
    equal(watched(), (0, 0, [20]))


@case("the guest truncates a file that it has mapped, and lets it grow again")
def _():
    (shared / "own").write_bytes(stamped(1024, 30))
    watch("own")
    guest.run("truncate -s 2097152 /mnt/own")
    until(lambda: (shared / "own").stat().st_size == CHUNK, "the host has the size")
    until(lambda: guest.run("mapped pages /mnt/own 4194304").startswith("words 512 zero 0 faults 512"), "SIGBUS in the guest")
    guest.run("truncate -s 4194304 /mnt/own")
    zero, faults, values = watched()
    check(faults > 0 and values[0] == 30, (zero, faults, values))
    is_well(guest)


@case("the host truncates a file and writes it again while the guest loads it")
def _():
    if not SURVIVES:
        raise Skip("a page that its file has lost ends QEMU 11.1: the next case")
    (shared / "victim").write_bytes(stamped(1024, 40))
    watch("victim")
    for stamp in range(41, 45):
        with (shared / "victim").open("r+b") as file:
            file.truncate(0)
            is_well(guest)
            file.write(stamped(1024, stamp))
        until(lambda stamp=stamp: guest.run("mapped pages /mnt/victim 4194304").endswith(f"values {stamp}"), "the guest sees it")
    guest.run("mapped write /mnt/victim 3000000 GUEST-TEXT")
    equal((shared / "victim").read_bytes()[3000000:3000010], b"GUEST-TEXT")
    _, faults, values = watched()
    equal((faults, values[0], values[-1]), (0, 40, 44))


@case("the monitor reads a page that its file has lost")
def _():
    if not SURVIVES:
        raise Skip("it ends QEMU 11.1: the next case")
    (shared / "lost").write_bytes(stamped(512, 99))
    guest.run("mapped pages /mnt/lost 2097152")
    base = window()
    place = next(base + n * CHUNK for n in range(8) if xp(base + n * CHUNK)[:1] == b"c")
    os.truncate(shared / "lost", 0)
    equal(xp(place + 4096), bytes(8))
    core = SCRATCH / "core"
    guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{core}")
    core.unlink()
    is_well(guest)


@case("the effect of a lost page on QEMU 11.1")
def _():
    if SURVIVES:
        raise Skip(f"QEMU {QEMU} survives it: the cases before")
    (shared / "victim").write_bytes(stamped(512, 40))
    watch("victim")
    os.truncate(shared / "victim", 0)
    equal(has_ended(guest), 7, "the signal that ended it")
    device.has_said("front-end is gone")
    start()
    (shared / "victim").write_bytes(stamped(512, 41))
    equal(guest.run("mapped pages /mnt/victim 2097152"), "words 512 zero 0 faults 0 values 41")


@case("the end of both")
def _():
    guest.quit()
    device.kill(15)


run()
