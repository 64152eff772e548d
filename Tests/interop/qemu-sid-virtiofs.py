# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in QEMU of sid, which has shared memory regions, in front of vhushmem-virtiofs: files by DAX, and by requests."""

import hashlib
import os
import re
import signal

from common.cases import SCRATCH, STAGE, Process, case, check, equal, need, run, socket_path, until
from common.machine import Guest, chardev, emulator_of_sid

need("linux", "sid-qemu")
shared = SCRATCH / "shared"
shared.mkdir()
sock = socket_path("fs.sock")
guest = fs = None


def content(size, seed):
    return b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range((size + 31) // 32))[:size]


FILES = {f"file{n}": content(size, n) for n, size in enumerate((0, 1, 4095, 4096, 100_000, (2 << 20) - 1, 2 << 20, (5 << 20) + 77, 6 << 20))}
for file_name, data in FILES.items():
    (shared / file_name).write_bytes(data)


def start_device(*words):
    global fs
    fs = Process("virtiofs", STAGE / "bin/vhushmem-virtiofs", "--socket-path", sock, "--shared-dir", shared, "--for-qemu", *words)
    fs.listens(sock)


def sums():
    """What the guest reads from each file."""
    lines = guest.run("cd /mnt && sha256sum file*; cd /").splitlines()
    return {words[1]: words[0] for words in (line.split() for line in lines)}


def right_sums():
    return {name: hashlib.sha256((shared / name).read_bytes()).hexdigest() for name in FILES}


def mapped():
    """The places in the window where QEMU has mapped something by DAX."""
    return re.findall("virtio-shmem-0-[0-9a-f]+", guest.qmp("human-monitor-command", command_line="info mtree -f"))


# QEMU maps no range beyond the end of a file. So the device offers DAX for files of whole chunks of 2 MiB. A guest without dax=always reads
# the others by requests.
@case("a guest mounts and reads every file, those of whole chunks by DAX")
def _():
    global guest
    start_device("--window", "16M", "--tag", "files")
    device = "vhost-user-test-device-pci,chardev=fs,virtio-id=26,num_vqs=2,config_size=44"
    guest = Guest("qemu", *chardev("fs", sock), "-device", device, emulator=emulator_of_sid(), memory="256M").up()
    guest.run("mount -t virtiofs files /mnt")
    equal(sums(), right_sums())
    check(len(mapped()) >= 4, f"only {mapped()} are mapped")


@case("each side reads what the other writes")
def _():
    guest.run("echo of the guest > /mnt/new && dd if=/dev/urandom of=/mnt/random bs=65536 count=48 2>/dev/null")
    equal((shared / "new").read_text(), "of the guest\n")
    seen = guest.run("sha256sum /mnt/random").split()[0]
    equal(seen, hashlib.sha256((shared / "random").read_bytes()).hexdigest())
    (shared / "new").write_text("of the host\n")
    until(lambda: guest.run("cat /mnt/new").strip() == "of the host", "the guest reads it")
    guest.run("echo more >> /mnt/new")
    equal((shared / "new").read_text(), "of the host\nmore\n")


@case("folders, links and names")
def _():
    guest.run("mkdir -p /mnt/a/b && ln -s ../../etc/passwd /mnt/a/link && ln /mnt/file1 /mnt/a/hard && mkfifo /mnt/a/fifo")
    equal(os.readlink(shared / "a/link"), "../../etc/passwd")
    equal((shared / "a/hard").stat().st_nlink, 2)
    check((shared / "a/fifo").is_fifo())
    equal(sorted(guest.run("ls /mnt/a").split()), ["b", "fifo", "hard", "link"])
    guest.run("mv /mnt/a/b /mnt/c && rm -r /mnt/a /mnt/c")
    check(not (shared / "a").exists() and (shared / "file1").exists())


@case("more data than the window")
def _():
    large = content(40 << 20, 99)
    (shared / "large").write_bytes(large)
    seen = guest.run("sha256sum /mnt/large").split()[0]
    equal(seen, hashlib.sha256(large).hexdigest())
    (shared / "large").unlink()


@case("stop and cont while it reads")
def _():
    count = guest.send("for n in 1 2 3; do cat /mnt/file* | sha256sum; done")
    guest.qmp("stop")
    guest.qmp("cont")
    lines = set(guest.finish(count).splitlines())
    wanted = hashlib.sha256(b"".join(data for _, data in sorted(FILES.items()))).hexdigest()
    equal(lines, {f"{wanted}  -"})


@case("unmounted, and mounted without DAX")
def _():
    guest.run("umount /mnt && mount -t virtiofs files /mnt -o dax=never")
    equal(sums(), right_sums())
    guest.run("umount /mnt")


@case("a reset of the machine, with mappings")
def _():
    guest.run("mount -t virtiofs files /mnt")
    equal(sums(), right_sums())
    guest.qmp("system_reset")
    guest.said = ""
    guest.up()
    guest.run("mount -t virtiofs files /mnt")
    equal(sums(), right_sums())


@case("the end of both")
def _():
    guest.quit()
    equal(fs.kill(signal.SIGTERM), 0, "status of the device")
    check(not sock.exists())


run()
