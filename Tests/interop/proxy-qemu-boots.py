# SPDX-License-Identifier: BSD-3-Clause
"""QEMU of the release and its qemu-storage-daemon, with vhushmem-probe's proxy in between: a Linux guest has its root on that disk."""

import hashlib
import os
import shutil
import subprocess

from common.machine import Guest, chardev
from _interop import FETCHED, ROOT, SCRATCH, Process, Proxy, Skip, case, check, equal, file_of, libraries, need, run, socket_path
from _proxy import has_told_all

need("qemu", "linux")
QUEUES = 2
image, sock = SCRATCH / "root.img", socket_path("blk.sock")
content = file_of("content", 6 << 20)
digest = hashlib.md5(content.read_bytes()).hexdigest()
proxy = guest = None


def make_root():
    """A file system with busybox and a file. Its /init is that of the other guests."""
    folder = SCRATCH / "root"
    for name in ("bin", "proc", "sys", "dev", "mnt", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy(FETCHED / "linux/bin/busybox", folder / "bin/busybox")
    shutil.copy(ROOT / "Tests/common/init.sh", folder / "init")
    (folder / "init").chmod(0o755)
    shutil.copy(content, folder / "content")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    mke2fs = shutil.which("mke2fs", path=path)
    if mke2fs is None:
        raise Skip("there is no mke2fs to make a file system with")
    subprocess.run([mke2fs, "-q", "-t", "ext4", "-d", folder, image, "24M"], check=True)


def is_whole():
    """All of the file, not from the guest's cache."""
    equal(guest.run("echo 3 >/proc/sys/vm/drop_caches; md5sum </content").split()[0], digest)


@case("a guest boots from the disk")
def _():
    global proxy, guest
    make_root()
    Process(
        "qemu-storage-daemon",
        FETCHED / "qemu/usr/bin/qemu-storage-daemon",
        *("--blockdev", f"driver=file,node-name=file,filename={image}"),
        *("--export", f"vhost-user-blk,id=e,node-name=file,addr.type=unix,addr.path={sock},writable=on,num-queues={QUEUES}"),
        environment=libraries("qemu"),
    ).listens(sock)
    proxy = Proxy(sock)
    disk = ["-device", f"vhost-user-blk-pci,chardev=disk,num-queues={QUEUES}"]
    guest = Guest("guest", *chardev("disk", proxy.path), *disk, append="root=/dev/vda").up()
    check("/dev/vda / ext4" in guest.run("cat /proc/mounts"))
    is_whole()


@case("it writes, and finds it after a reset and a boot")
def _():
    guest.run("head -c 300000 /dev/urandom >/new && sync")
    before = guest.run("md5sum </new").split()[0]
    guest.qmp("system_reset")
    guest.up()
    equal(guest.run("md5sum </new").split()[0], before)
    is_whole()


@case("stop and cont, ten times under load")
def _():
    again = "while [ ! -e /tmp/enough ]; do echo 3 >/proc/sys/vm/drop_caches; md5sum </content; done"
    guest.run(f"({again}) >/tmp/sums & true")
    for _ in range(10):
        guest.qmp("stop")
        guest.qmp("cont")
    guest.run("touch /tmp/enough; wait")
    equal({line.split()[0] for line in guest.run("cat /tmp/sums").splitlines()}, {digest})


@case("the guest ends, and the proxy has reported every message")
def _():
    guest.run("sync")
    guest.quit()
    told = has_told_all(proxy)
    names = {line["name"] for line in told if line["event"] == "wire"}
    check({"GET_CONFIG", "SET_VRING_KICK", "GET_VRING_BASE"} <= names, names)
    equal([line["event"] for line in told if line["event"] in ("connected", "disconnect", "error")], ["connected", "disconnect"])


run()
