# SPDX-License-Identifier: BSD-3-Clause
"""QEMU of the release with a Linux guest in front of the library's vhost-user-net, -fs, -scsi and -rng."""

import hashlib

from _interop import case, check, device, equal, file_of, need, run, socket_path
from common.machine import Guest, chardev

need("qemu", "linux")
SIZE = 3 << 20
image, shared = file_of("image", SIZE), file_of("shared", SIZE, seed=77)
KINDS = {"net": (), "fs": (shared,), "scsi": (image,), "rng": ()}
sockets = {kind: socket_path(f"{kind}.sock") for kind in KINDS}
running = {kind: device(kind, sockets[kind], *words) for kind, words in KINDS.items()}
guest = None


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def has_net(count=3):
    guest.run("ip link set eth0 up; ip addr replace 10.0.0.1/24 dev eth0")
    said = guest.run(f"ping -c {count} -s 1000 10.0.0.77")
    check(f"{count} packets received" in said, said)


def has_fs():
    guest.run("mount -t virtiofs interop /mnt")
    equal(guest.run("ls /mnt"), "file")
    equal(guest.run("md5sum </mnt/file").split()[0], md5(shared))
    guest.run("umount /mnt")


def has_scsi():
    equal(guest.run("cat /sys/block/sda/device/model").strip(), "INTEROP")
    guest.run("head -c 8192 /dev/urandom >/tmp/new; dd if=/tmp/new of=/dev/sda bs=4k seek=7 conv=fsync 2>/dev/null")
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    equal(guest.run("md5sum </dev/sda").split()[0], md5(image))


def has_rng():
    # The kernel puts its own bytes in front of them. The device's bytes come in whole pieces.
    check("VHUSHMEM" * 8 in guest.run("dd if=/dev/hwrng bs=512 count=2 2>/dev/null"))


@case("a guest starts with all of them")
def _():
    global guest
    words = []
    for kind, path in sockets.items():
        # The others do not come back in QEMU 7.2.
        words += chardev(kind, path, *(["reconnect=1"] if kind == "net" else []))
    # vectors=0: without it, QEMU 7.2 ends when the guest sets up the device's interrupts.
    words += ["-netdev", "vhost-user,id=net0,chardev=net", "-device", "virtio-net-pci,netdev=net0,vectors=0"]
    words += ["-device", "vhost-user-fs-pci,chardev=fs,tag=interop", "-device", "vhost-user-scsi-pci,chardev=scsi"]
    words += ["-device", "vhost-user-rng-pci,chardev=rng"]
    guest = Guest("guest", *words).up()


for kind, works in (("net", has_net), ("fs", has_fs), ("scsi", has_scsi), ("rng", has_rng)):
    case(f"{kind} works")(works)


@case("after stop and cont all work")
def _():
    for _ in range(5):
        guest.qmp("stop")
        guest.qmp("cont")
    for works in (has_net, has_fs, has_scsi, has_rng):
        works()


@case("net comes back after its device was killed")
def _():
    started = running["net"].text().count("queue 1 started")
    running["net"].kill()
    running["net"].start()
    running["net"].has_said("queue 1 started", started + 1)
    has_net()


@case("after a reset and a boot all work")
def _():
    guest.qmp("system_reset")
    guest.up()
    for works in (has_net, has_fs, has_scsi, has_rng):
        works()


run()
