# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in QEMU of the release, which has no shared memory regions, in front of vhushmem-virtiofs: all by requests."""

import hashlib
import os
import signal

from _interop import SCRATCH, STAGE, Process, case, check, equal, need, run, socket_path
from common.machine import Guest, chardev

need("linux", "qemu")
shared = SCRATCH / "shared"
shared.mkdir()
sock = socket_path("fs.sock")
fs = Process("virtiofs", STAGE / "bin/vhushmem-virtiofs", "--socket-path", sock, "--shared-dir", shared, "--num-request-queues", "2")
fs.listens(sock)
guest = None
for n, size in enumerate((0, 1, 4097, (3 << 20) + 5)):
    (shared / f"file{n}").write_bytes(os.urandom(size))


@case("a guest mounts and reads every file")
def _():
    global guest
    device = "vhost-user-fs-pci,chardev=fs,tag=files,num-request-queues=2"
    guest = Guest("qemu", *chardev("fs", sock), "-device", device).up()
    guest.run("mount -t virtiofs files /mnt")
    seen = guest.run("cd /mnt && sha256sum file*; cd /").split()
    wanted = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shared.glob("file*")}
    equal(dict(zip(seen[1::2], seen[0::2])), wanted)


@case("it writes, makes, links, renames and removes")
def _():
    guest.run("cp /mnt/file3 /mnt/copy && mkdir /mnt/d && mv /mnt/copy /mnt/d/moved && ln -s d/moved /mnt/link && chmod 600 /mnt/d/moved")
    equal((shared / "d/moved").read_bytes(), (shared / "file3").read_bytes())
    equal((shared / "d/moved").stat().st_mode & 0o777, 0o600)
    equal(os.readlink(shared / "link"), "d/moved")
    guest.run("dd if=/dev/zero of=/mnt/d/moved bs=1000 count=3 seek=1 conv=notrunc 2>/dev/null && truncate -s 5000 /mnt/d/moved && sync")
    equal((shared / "d/moved").stat().st_size, 5000)
    equal((shared / "d/moved").read_bytes()[1000:4000], bytes(3000))
    guest.run("rm -r /mnt/d /mnt/link")
    check(not (shared / "d").exists())


@case("a file is written by several programs at once")
def _():
    guest.run("for p in 1 2 3 4; do (n=0; while [ $n -lt 50 ]; do echo $p $n >> /mnt/log; n=$((n+1)); done) & done; wait")
    equal(sorted((shared / "log").read_text().split("\n")[:-1]), sorted(f"{p} {n}" for p in (1, 2, 3, 4) for n in range(50)))


@case("stop and cont while it reads, and 5 mounts")
def _():
    count = guest.send("for n in 1 2 3 4 5; do umount /mnt; mount -t virtiofs files /mnt; cat /mnt/file3 | sha256sum; done")
    for _ in range(3):
        guest.qmp("stop")
        guest.qmp("cont")
    wanted = hashlib.sha256((shared / "file3").read_bytes()).hexdigest()
    equal(set(guest.finish(count).splitlines()), {f"{wanted}  -"})


@case("the end of both")
def _():
    guest.quit()
    equal(fs.kill(signal.SIGTERM), 0, "status of the device")


run()
