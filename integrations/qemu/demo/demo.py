#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/guest-demo shows, once all is built. Usage: demo.py VERSION DIR"""

import hashlib
import os
import pathlib
import re
import sys
import time

from common.cases import SCRATCH, Process, check, equal
from guest import CACHE, FAILURES, Device, accelerator_of_before, maps_of, start

BIG_MIB = 64
STARTED = time.monotonic()


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def sha256(file):
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def files_of(directory):
    """Regular files that can be read, by their path in the directory. Names that a shell's list can't hold are left out."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK) and "\n" not in str(path) and "\\" not in str(path):
                found[str(path.relative_to(directory))] = path
    return found


def boot(version, devices):
    """By KVM where it runs Linux, or else by TCG. What it was is kept for the next time."""
    kept = CACHE / "accelerator"
    accelerator = accelerator_of_before()
    if accelerator is None and os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("KVM is tried, for 20 seconds at the most")
        try:
            guest = start(version, devices, "kvm").up(20)
            kept.write_text("kvm")
            return guest, "KVM"
        except FAILURES:
            Process.all[-1].kill()
            say("it does not run Linux here: TCG it is, an emulator, and some ten times slower")
    accelerator = accelerator or "tcg,thread=multi"
    kept.write_text(accelerator)
    return start(version, devices, accelerator).up(), "KVM" if accelerator == "kvm" else "TCG"


def compare(guest, directory, files):
    lines = guest.run(r"cd /mnt && find . -type f -exec sha256sum {} + 2>/tmp/errors; cd /", status=None).splitlines()
    seen = {path.removeprefix("./"): digest for digest, _, path in (line.partition("  ") for line in lines)}
    wrong = [name for name, path in files.items() if seen.get(name) != sha256(path)]
    check(not wrong, f"{len(wrong)} of {len(files)} files differ: {', '.join(wrong[:5])}")
    return sum(path.stat().st_size for path in files.values())


def maps_of_files(guest):
    """Files of the directory in QEMU's own address space: there is nothing in between."""
    return [line for line in maps_of(guest) if re.search(r" r[w-]-s .*/", line) and "memfd:" not in line and "/dev" not in line]


def write_from_both_sides(guest, scratch):
    guest.run("echo written by the guest >/scratch/guest")
    equal((scratch / "guest").read_text(), "written by the guest\n", "what the host reads of the guest's file")
    (scratch / "host").write_text("written by the host\n")
    equal(guest.run("cat /scratch/host"), "written by the host", "what the guest reads of the host's file")
    # A file that both have open: the guest's page is the host's.
    with (scratch / "host").open("r+") as file:
        file.write("changed")
        file.flush()
        time.sleep(1)  # --cache auto: the guest asks again after a second
        equal(guest.run("cat /scratch/host"), "changed by the host", "what the guest reads of the changed file")


def speed(guest, options):
    guest.run("umount /scratch")
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    guest.run(f"mount -t virtiofs {options} scratch /scratch")
    before = cached(guest)
    rounds = [line.split() for line in guest.run("reader /scratch/big").splitlines() if line.startswith("READ")]
    check(len(rounds) == 2 and rounds[0][1] == rounds[1][1], f"the guest reads {rounds}")
    return [BIG_MIB / (int(words[2]) / 1e9) for words in rounds], (cached(guest) - before) / 1024


def cached(guest):
    """KiB of the guest's page cache."""
    return int(guest.run("grep ^Cached: /proc/meminfo").split()[1])


def show(version, directory):
    files = files_of(directory)
    scratch = SCRATCH / "scratch"
    scratch.mkdir()
    with (scratch / "big").open("wb") as big:
        for _ in range(BIG_MIB):
            big.write(os.urandom(1 << 20))

    say(f"two devices: files of {directory}, read-only, and a scratch directory")
    devices = [
        Device("files", directory, "--read-only", "--statistics"),
        Device("scratch", scratch, "--window", "256M", "--statistics"),
    ]
    say(f"QEMU {version} boots Debian's Linux")
    guest, accelerator = boot(version, devices)
    say(f"it is up: {guest.run('uname -sr')}, by {accelerator}")
    guest.run("mkdir -p /scratch; mount -t virtiofs -o ro,dax=always files /mnt")
    guest.run("mount -t virtiofs -o dax=always scratch /scratch")
    say(f"guest$ mount -t virtiofs -o dax=always files /mnt     and the SHA-256 of its {len(files)} files")
    size = compare(guest, directory, files)
    say(f"all {len(files)} files ({size / 1048576:.1f} MiB) are the host's")
    shown = maps_of_files(guest)
    say(f"QEMU has {len(shown)} ranges of files mapped, which are the guest's memory:")
    for line in shown[:3]:
        words = line.split()
        print(f"          {words[0]} {words[1]} {words[-1]}")
    write_from_both_sides(guest, scratch)
    say("the host reads what the guest writes, and the guest what the host writes")
    guest.run("umount /mnt")
    counts = devices[0].requests(1)
    say(f"{counts.get('SETUPMAPPING', 0)} SETUPMAPPING, at most {counts['mappings']} mapped at once; FUSE_READ: {counts.get('READ', 0)}")
    equal(counts.get("READ", 0), 0, "requests to read, where there is DAX")
    for name, options in (("with DAX", "-o dax=always"), ("without DAX", "-o dax=never")):
        rates, kept = speed(guest, options)
        say(f"{BIG_MIB} MiB by loads {name:12} {rates[0]:6.0f} MiB/s, again {rates[1]:6.0f} MiB/s; {max(0, kept):.0f} MiB in the guest's page cache")
    guest.run("umount /scratch")
    reads = [devices[1].requests(n).get("READ", 0) for n in (2, 3)]
    say(f"FUSE_READ with DAX: {reads[0]}, without: {reads[1]}")


def main():
    version, directory = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    try:
        show(version, directory)
    except FAILURES as failure:
        print(f"guest-demo: {failure}", file=sys.stderr)
        return 1
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
