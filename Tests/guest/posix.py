# SPDX-License-Identifier: BSD-3-Clause
"""The duties of a file system, as the host's own performs them: the same programs run on the host and in the guest, with DAX and
without."""

import os
import subprocess

from _guest import BY_CHUNK, CHUNK, IS_LONG, PROGRAMS, Device, boot, folder, is_well, mount
from common.cases import Skip, case, check, equal, run

shared, reference = folder("shared"), folder("reference")
device = Device("files", shared)
plain_device = Device("plain", shared, window="0")
guest = None
MOUNTS = {"with DAX": "/mnt", "without DAX": "/plain"}
SEEDS = range(1, 11 if IS_LONG else 3)
STEPS = 3000 if IS_LONG else 600

# The differences: the host's line, and the guest's. The device makes no device nodes, and Linux 6.1 has no nameless files over FUSE.
KNOWN = {
    "mknod: a device: OK": "mknod: a device: EPERM",
    "open: O_TMPFILE: OK": "open: O_TMPFILE: EOPNOTSUPP",
}


def on_host(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout.splitlines()


def compare(name, seen, wanted):
    wrong = 0
    for line, right in zip(seen, wanted):
        if line not in (right, KNOWN.get(right)):
            wrong += 1
            print(f"{name}: {line}   the host: {right}")
    check(wrong == 0 and len(seen) == len(wanted), f"{wrong} of {len(wanted)} lines differ, {len(seen)} were said")


@case("a guest mounts it twice")
def _():
    global guest
    guest = boot(device, plain_device)
    mount(guest, device)
    mount(guest, plain_device, "/plain", options="")


def add_cases(how, at):
    place = shared / at.strip("/")

    @case(f"names, modes and times as on the host's file system, {how}")
    def _():
        if os.geteuid() != 0:
            raise Skip("files of other users can only be made by root")
        wanted = folder(f"reference/posix-{at.strip('/')}")
        place.mkdir(exist_ok=True)
        guest.run(f"mkdir -p {at}/{place.name}/posix")
        lines = on_host(PROGRAMS / "posix", wanted)
        seen = guest.run(f"posix {at}/{place.name}/posix > /tmp/said; cat /tmp/said").splitlines()
        compare(how, seen, lines)
        print(f"note: {len(lines)} lines")

    @case(f"random use of one file as on the host's file system, {how}")
    def _():
        place.mkdir(exist_ok=True)
        for seed in SEEDS:
            (place / "fsx").write_bytes(b"")
            (reference / "fsx").write_bytes(b"")
            size = 300_000 if seed % 2 else 3_000_000
            wanted = on_host(PROGRAMS / "fsx", reference / "fsx", seed, STEPS, size)
            seen = guest.run(f"fsx {at}/{place.name}/fsx {seed} {STEPS} {size}").splitlines()
            equal(seen, wanted)
            equal((place / "fsx").read_bytes(), (reference / "fsx").read_bytes(), "what the host reads")

    @case(f"random use of names as on the host's file system, {how}")
    def _():
        place.mkdir(exist_ok=True)
        for seed in SEEDS:
            wanted = sorted(on_host(PROGRAMS / "fsstress", folder(f"reference/{place.name}-{seed}"), seed, STEPS, 3))
            (place / f"stress-{seed}").mkdir()
            seen = sorted(guest.run(f"fsstress {at}/{place.name}/stress-{seed} {seed} {STEPS} 3").splitlines())
            equal(seen, wanted)


for how_, at_ in MOUNTS.items():
    add_cases(how_, at_)


@case("random use of one file of whole chunks as on the host's file system, with DAX")
def _():
    before = device.counts()["SETUPMAPPING"]
    for seed in SEEDS:
        for path in (shared / f"fixed{seed}", reference / "fixed"):
            path.write_bytes(bytes(4 * CHUNK))
        wanted = on_host(PROGRAMS / "fsx", reference / "fixed", seed, STEPS, 4 * CHUNK, "fixed")
        equal(guest.run(f"fsx /mnt/fixed{seed} {seed} {STEPS} {4 * CHUNK} fixed").splitlines(), wanted)
        equal((shared / f"fixed{seed}").read_bytes(), (reference / "fixed").read_bytes(), "what the host reads")
    check(device.counts()["SETUPMAPPING"] > before, f"no DAX (BY_CHUNK is {BY_CHUNK})")
    is_well(guest)


@case("the end of all")
def _():
    guest.quit()
    for each in (device, plain_device):
        equal(each.kill(15), 0, "status of a device")


run()
