#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One guest reads the same 200 MiB by loads through several devices in turn: throughput, host processor time, the guest's page cache.

Usage: scripts/guest-demo --measure. Prints a table and draws build/guest-demo/measure.svg.
"""

import os
import pathlib
import statistics
import sys

from common.cases import FETCHED, SCRATCH
from demo import cached
from guest import CACHE, Device, accelerator_of_before, start

MIB = 200
ROUNDS = 5
COLUMNS = (
    ("first read, MiB/s", "{:.0f}"),
    ("again, still open, MiB/s", "{:.0f}"),
    ("opened anew, MiB/s", "{:.0f}"),
    ("host CPU, first and again, s", "{:.2f}"),
    ("host CPU, opened anew, s", "{:.2f}"),
    ("guest's page cache, MiB", "{:.0f}"),
)
COLORS = ("#2e7d4f", "#8ab69b", "#7a7f87", "#a9adb3")


def script(path, command):
    """A program that takes --socket-path and --shared-dir and becomes another one."""
    path.write_text(f"#!/bin/sh\nsocket=$2 directory=$4\nexec {command}\n")
    path.chmod(0o755)
    return path


def peers():
    """virtiofsd of Debian sid and of QEMU 7.2, where they could be fetched."""
    found = []
    sid = FETCHED / "sid-virtiofsd"
    if sid.exists():
        libraries = sid / "usr/lib/x86_64-linux-gnu"
        command = f"{libraries}/ld-linux-x86-64.so.2 --library-path {libraries} {sid}/usr/libexec/virtiofsd --socket-path=$socket"
        command += " --shared-dir=$directory --sandbox=none --seccomp=none --inode-file-handles=never"
        found.append(("virtiofsd 1.14", "sid", script(SCRATCH / "sid", command)))
    old = FETCHED / "qemu"
    if old.exists():
        libraries = ":".join(str(path) for part in ("usr/lib", "lib") for path in (old / part).glob("*-linux-gnu"))
        command = f"env LD_LIBRARY_PATH={libraries} {old}/usr/lib/qemu/virtiofsd --socket-path=$socket -o source=$directory -o sandbox=chroot"
        found.append(("virtiofsd of QEMU 7.2", "old", script(SCRATCH / "old", command)))
    return found


def cpu_seconds(pid):
    """What a process and those that it started have used of the host's processors: vhushmem-virtiofs and virtiofsd are two."""
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(process.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def read_once(guest, device, tag, options):
    """One row of figures."""
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    guest.run(f"mount -t virtiofs {options} {tag} /scratch")
    figures, times, sums, before = [], [], set(), cached(guest)
    for reads in (2, 1):
        begin = cpu_seconds(guest.process.pid) + cpu_seconds(device.process.pid)
        lines = [line.split() for line in guest.run(f"reader /scratch/big {reads}").splitlines()]
        times.append(cpu_seconds(guest.process.pid) + cpu_seconds(device.process.pid) - begin)
        sums |= {words[1] for words in lines}
        figures += [MIB / (int(words[2]) / 1e9) for words in lines]
    kept = (cached(guest) - before) / 1024
    guest.run("umount /scratch")
    return [*figures, *times, max(0, kept)], sums


def draw(rows, title):
    parts, width, y = [], 900, 60
    for column, (name, form) in enumerate(COLUMNS):
        most = max(figures[column] for _, figures in rows) or 1
        parts.append(f'<text x="16" y="{y}" font-weight="bold">{name}</text>')
        for (who, figures), color in zip(rows, COLORS):
            y += 22
            length = 480 * figures[column] / most
            parts.append(f'<text x="260" y="{y + 1}" text-anchor="end">{who}</text>')
            parts.append(f'<rect x="270" y="{y - 12}" width="{max(1, length):.1f}" height="16" rx="2" fill="{color}"/>')
            parts.append(f'<text x="{278 + length:.1f}" y="{y + 1}">{form.format(figures[column])}</text>')
        y += 36
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
    head += f'font-family="system-ui, sans-serif" font-size="13"><rect width="{width}" height="{y}" fill="#fff"/>'
    return f'{head}<text x="16" y="28" font-size="15" font-weight="bold">{title}</text>{"".join(parts)}</svg>\n'


def main():
    version = sys.argv[1]
    shared = SCRATCH / "shared"
    shared.mkdir()
    with (shared / "big").open("wb") as big:
        for _ in range(MIB):
            big.write(os.urandom(1 << 20))
    ours = Device("ours", shared)
    kinds = [("vhushmem-virtiofs, DAX", ours, "-o dax=always"), ("vhushmem-virtiofs, no DAX", ours, "-o dax=never")]
    kinds += [(title, Device(name, shared, program=program), "") for title, name, program in peers()]
    devices = list(dict.fromkeys(device for _, device, _ in kinds))
    accelerator = accelerator_of_before() or "tcg,thread=multi"
    guest = start(version, devices, accelerator, memory="1G").up()
    guest.run("mkdir -p /scratch")
    results, sums = {title: [] for title, _, _ in kinds}, set()
    for n in range(ROUNDS):
        for title, device, options in kinds:
            figures, seen = read_once(guest, device, device.name, options)
            results[title].append(figures)
            sums |= seen
            print(f"round {n + 1}: {title}: " + ", ".join(f"{name} {form.format(f)}" for f, (name, form) in zip(figures, COLUMNS)), flush=True)
    if len(sums) != 1:
        sys.exit(f"what was read differs: {sums}")
    rows = [(title, [statistics.median(column) for column in zip(*results[title])]) for title, _, _ in kinds]
    print("| device | " + " | ".join(name for name, _ in COLUMNS) + " |\n|---|" + "--:|" * len(COLUMNS))
    for title, figures in rows:
        print(f"| {title} | " + " | ".join(form.format(f) for f, (_, form) in zip(figures, COLUMNS)) + " |")
    how = "KVM" if accelerator == "kvm" else "TCG"
    (CACHE / "measure.svg").write_text(draw(rows, f"{MIB} MiB read by loads in one guest (QEMU {version}, {how}; median of {ROUNDS})"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
