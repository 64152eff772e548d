# SPDX-License-Identifier: BSD-3-Clause
"""QEMU of the release with a Linux guest in front of the library's vhost-user-blk: pause, reset, hot plug, a killed device, migration."""

import hashlib

from _interop import case, check, device, equal, file_of, need, run, socket_path, until
from common.machine import Guest, chardev

need("qemu", "linux")
SIZE = 4 << 20
image = file_of("image", SIZE)
sock = socket_path("blk.sock")
digest = hashlib.md5(image.read_bytes()).hexdigest()
PORTS = ("-device", "pcie-root-port,id=root0,slot=5", "-device", "pcie-root-port,id=root1,slot=6")
disk = device("blk", sock, image)
plugged_sock = socket_path("plugged.sock")
plugged = device("blk", plugged_sock, image, name="plugged-device")
guest = None


def devices(path):
    return [*PORTS, *chardev("disk", path, "reconnect=1"), "-device", "vhost-user-blk-pci,chardev=disk,num-queues=2,id=d0,bus=root0"]


def is_read(who, name="vda"):
    """All of the disk, not from the guest's cache."""
    equal(who.run(f"echo 3 >/proc/sys/vm/drop_caches; md5sum </dev/{name}").split()[0], digest)


def begin_load():
    """The guest reads the disk all the time."""
    again = "while [ ! -e /tmp/enough ]; do echo 3 >/proc/sys/vm/drop_caches; md5sum </dev/vda; done"
    guest.run(f"rm -f /tmp/enough /tmp/sums; ({again}) >/tmp/sums & true")


def end_load():
    guest.run("touch /tmp/enough; wait")
    equal({line.split()[0] for line in guest.run("cat /tmp/sums").splitlines()}, {digest})


@case("a guest reads the disk")
def _():
    global guest
    guest = Guest("guest", *devices(sock), *chardev("plugged", plugged_sock)).up()
    equal(guest.run("cat /sys/block/vda/size"), str(SIZE // 512))
    equal(guest.run("cat /sys/block/vda/serial"), "vhushmem-interop")
    is_read(guest)


@case("it writes to the disk")
def _():
    global digest
    guest.run("head -c 300000 /dev/urandom >/tmp/new && dd if=/tmp/new of=/dev/vda bs=4k seek=10 conv=fsync 2>/dev/null")
    equal(guest.run("md5sum </tmp/new").split()[0], hashlib.md5(image.read_bytes()[40960 : 40960 + 300000]).hexdigest())
    digest = hashlib.md5(image.read_bytes()).hexdigest()
    is_read(guest)


@case("stop and cont, ten times under load")
def _():
    begin_load()
    for _ in range(10):
        guest.qmp("stop")
        guest.qmp("cont")
    end_load()


@case("a device that is killed and started again, under load")
def _():
    begin_load()
    for _ in range(2):
        started = disk.text().count("queue 0 started")
        disk.kill()
        disk.start()
        disk.has_said("queue 0 started", started + 1)
        is_read(guest)
    end_load()


@case("a reset while it runs, and a boot")
def _():
    guest.qmp("system_reset")
    guest.up()
    is_read(guest)


@case("device_add, device_del and device_add again on one connection")
def _():
    for name in ("p0", "p1", "p2"):
        guest.qmp("device_add", driver="vhost-user-blk-pci", chardev="plugged", id=name, bus="root1", num_queues=2)
        guest.run("until [ -e /dev/vdb ]; do sleep 0.2; done")
        is_read(guest, "vdb")
        guest.qmp("device_del", id=name)
        guest.event("DEVICE_DELETED", device=name)
    check("disconnected" not in plugged.text(), "the connection ended")


@case("migration to another QEMU with another device, with requests in the rings")
def _():
    global guest
    other_sock = socket_path("other.sock")
    device("blk", other_sock, image, name="other-device")
    wire = socket_path("migration.sock")
    target = Guest("target", *devices(other_sock), incoming=f"unix:{wire}")
    begin_load()
    # On a busy machine, an emulated processor that writes during a migration loses pages, even without a vhost-user device.
    guest.qmp("stop")
    guest.qmp("migrate", uri=f"unix:{wire}")
    ended = until(lambda: said if (said := guest.qmp("query-migrate").get("status")) in ("completed", "failed") else None, "migration")
    equal(ended, "completed")
    check(guest.qmp("query-status")["status"] == "postmigrate")
    guest.quit()
    guest = target
    guest.qmp("cont")
    guest.count = 1000
    end_load()
    is_read(guest)


run()
