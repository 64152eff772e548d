# SPDX-License-Identifier: BSD-3-Clause
"""Every file is the host's, by read() and by mmap. With DAX no request reads a byte. Both sides have what either side writes."""

import hashlib
import pathlib
import shutil

from _guest import BY_CHUNK, BY_LOADS, CHUNK, Device, boot, content, equal_sums, folder, is_well, mount, right_sums, stamped, sums
from common.cases import case, check, equal, run, until

shared = folder("shared")
for n, size in enumerate((0, 1, 4095, 4096, 4097, 100_000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77)):
    (shared / f"file{n}").write_bytes(content(size, n))
for n in range(24):
    (shared / f"small{n}").write_bytes(content(n * 700 + 1, f"s{n}"))
for n in range(8):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, f"c{n}"))
for path in (pathlib.Path("/usr/share/common-licenses/GPL-3"), pathlib.Path("/lib/x86_64-linux-gnu/libc.so.6")):
    if path.exists():
        shutil.copy(path, shared / path.name)
device = Device("files", shared)
guest = None


@case("every file by read()")
def _():
    global guest
    guest = boot(device)
    mount(guest, device)
    equal_sums(sums(guest), right_sums(shared))


@case("every file by mmap")
def _():
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))


@case("with DAX no request has read a byte")
def _():
    counts = device.counts()
    check(counts["SETUPMAPPING"] >= 12, counts)
    if not BY_CHUNK:
        equal(counts["READ"], 0, "READ")
    before = counts["READ"]
    guest.run("echo 3 > /proc/sys/vm/drop_caches; for n in 0 1 2 3 4 5 6 7; do cat /mnt/chunk$n; mapped cat /mnt/chunk$n; done | sha256sum")
    equal(device.counts()["READ"], before, "READ of files of whole chunks")
    print(f"note: {counts['SETUPMAPPING']} SETUPMAPPING, {counts.get('READ', 0)} READ")


@case("stores of the guest are in the host's file")
def _():
    data = bytearray((shared / "chunk0").read_bytes())
    guest.run("mapped write /mnt/chunk0 100 WRITTEN-BY-A-STORE && mapped write /mnt/chunk0 2097140 AT-THE-END")
    data[100:118] = b"WRITTEN-BY-A-STORE"
    data[2097140:2097150] = b"AT-THE-END"
    equal((shared / "chunk0").read_bytes(), bytes(data))


@case("writes of the guest are in the host's file")
def _():
    guest.run("echo of the guest > /mnt/new && dd if=/mnt/chunk1 of=/mnt/copy bs=64k 2>/dev/null && sync")
    equal((shared / "new").read_text(), "of the guest\n")
    equal((shared / "copy").read_bytes(), (shared / "chunk1").read_bytes())


@case("writes of the host are what the guest loads")
def _():
    path = shared / "stamped"
    path.write_bytes(stamped(512, 1))
    guest.run("mapped watch /mnt/stamped > /tmp/watch & W=$!")
    until(lambda: "begun" in guest.run("cat /tmp/watch"), "the guest looks")
    for stamp in (2, 3, 4711):
        with path.open("r+b") as file:
            file.write(stamped(512, stamp))
        until(lambda stamp=stamp: guest.run("mapped pages /mnt/stamped 2097152").endswith(f"values {stamp}"), "the guest loads what the host wrote")
    said = guest.run("kill $W; wait $W; cat /tmp/watch")
    check("zero 0 faults 0 values 1 2 3 4711" in said, said)


@case("appended from either side")
def _():
    wanted = b"line of the host 0\n"
    (shared / "log").write_bytes(wanted)
    for n in range(1, 9):
        guest.run(f"echo line of the guest {n} >> /mnt/log")
        wanted += f"line of the guest {n}\n".encode()
        with (shared / "log").open("ab") as file:
            file.write(f"line of the host {n}\n".encode())
        wanted += f"line of the host {n}\n".encode()
    equal((shared / "log").read_bytes(), wanted)
    until(lambda: guest.run("sha256sum < /mnt/log").split()[0] == hashlib.sha256(wanted).hexdigest(), "the guest reads all lines")
    if not BY_CHUNK:
        until(lambda: guest.run("mapped cat /mnt/log | sha256sum").split()[0] == hashlib.sha256(wanted).hexdigest(), "the guest loads all lines")


@case("appended by the guest beyond a chunk")
def _():
    guest.run("dd if=/mnt/chunk1 of=/mnt/grows bs=1000 count=2500 2>/dev/null && dd if=/mnt/chunk1 bs=1000 count=50 2>/dev/null >> /mnt/grows")
    data = (shared / "chunk1").read_bytes()
    wanted = data[:2_097_152] + data[:50_000]
    equal(hashlib.sha256((shared / "grows").read_bytes()).hexdigest(), hashlib.sha256(wanted).hexdigest())
    equal(guest.run("sha256sum < /mnt/grows").split()[0], hashlib.sha256(wanted).hexdigest())


@case("mounted 20 times")
def _():
    wanted = right_sums(shared)
    guest.run("umount /mnt")
    equal(device.counts()["live"], 0, "mappings that are live after umount")
    for _ in range(20):
        mount(guest, device)
        said = guest.run("cd /mnt && for f in file4 chunk3 file9; do mapped cat $f | sha256sum; done; cd / && umount /mnt").split()
        equal(said[0::2], [wanted[name] for name in ("file4", "chunk3", "file9")])
    equal(device.counts()["live"], 0, "mappings that are live after umount")
    is_well(guest)


@case("the end of both")
def _():
    guest.quit()
    device.kill(15)


run()
