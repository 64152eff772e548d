# SPDX-License-Identifier: BSD-3-Clause
"""A device is unplugged and another plugged in; a device is killed while the guest loads from it, and started again."""

import signal

from _guest import BY_CHUNK, BY_LOADS, CHUNK, DAX, Device, boot, content, equal_sums, folder, has_ended, is_well, mount, right_sums, sums, tree_of
from common.cases import Skip, case, check, equal, run, until

shared = folder("shared")
for n in range(6):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, n))
device = Device("files", shared, window="16M")
other = Device("other", shared, window="16M")
guest = None
WANTED = right_sums(shared)
# vhost-user-test-device of QEMU 11.1 looks for its back-end again if the chardev is connected when the device is made. So the device is
# plugged in.
RECONNECTS = BY_CHUNK
# A port for each device, so that it can be unplugged. The port reserves room; otherwise the guest has no place for the window of a device
# that is plugged in.
PORTS = [word for n in (1, 2, 3) for word in ("-device", f"pcie-root-port,id=port{n},chassis={n},slot={n},bus=pcie.0,pref64-reserve=64M")]


def reads_all(at="/mnt"):
    equal_sums(sums(guest, at, BY_LOADS), WANTED)


def mappings():
    return tree_of(guest.process.pid)["mappings"]


def plug(new, port, at, more=None):
    """Plugs a device into the guest, and mounts it when the driver has found it."""
    address = {"type": "unix", "data": {"path": str(new.socket)}}
    guest.qmp("chardev-add", id=new.tag, backend={"type": "socket", "data": {"addr": address, "server": False, **(more or {})}})
    until(lambda: not any("disconnected" in each["filename"] for each in guest.qmp("query-chardev") if each["label"] == new.tag), "it is connected")
    driver, *words = new.option(port).split(",")
    words = dict(word.split("=") for word in words)
    numbers = {name: int(words.pop(name)) for name in ("virtio-id", "num_vqs", "config_size") if name in words}
    guest.ask("device_add", {"driver": driver, **words, **numbers})
    guest.run(f"mkdir -p {at}; until mount -t virtiofs {DAX} {new.tag} {at} 2>/dev/null; do sleep 0.1; done")


def unplug(old):
    guest.qmp("device_del", id=f"fs-{old.tag}")
    guest.event("DEVICE_DELETED", device=f"fs-{old.tag}")
    guest.qmp("chardev-remove", id=old.tag)


@case("unplugged, and others plugged in")
def _():
    global guest
    guest = boot(more=[*PORTS, *device.words("port1")])
    mount(guest, device)
    reads_all()
    guest.run("umount /mnt")
    began = mappings()
    unplug(device)
    until(lambda: "front-end is gone" in device.text(), "the device is left alone")
    for _ in range(3):
        plug(other, "port2", "/other")
        reads_all("/other")
        check(other.counts()["live"] >= 6, "it is mounted without DAX")
        guest.run("umount /other")
        unplug(other)
    check(mappings() <= began, f"QEMU has {mappings()} mappings, {began} before")
    is_well(guest)


@case("unplugged while it is mounted, with live mappings")
def _():
    began = mappings()
    plug(device, "port1", "/mnt")
    plug(other, "port2", "/other")
    reads_all()
    unplug(device)
    # /mnt stays: Linux 6.1 fails when such a mount is undone, since it still has records of the window's pages, which are gone.
    reads_all("/other")
    is_well(guest)
    guest.run("umount /other")
    unplug(other)
    check(mappings() <= began, f"QEMU has {mappings()} mappings, {began} before")
    guest.quit()


@case("the device is killed while the guest loads from it")
def _():
    global guest
    guest = boot(name="killed", more=[*PORTS, *other.words("port2")])
    plug(device, "port1", "/mnt", {"reconnect-ms": 200} if RECONNECTS else None)
    mount(guest, other, "/other")
    guest.run("mapped watch /mnt/chunk0 > /tmp/watch & W=$!; true")
    until(lambda: "begun" in guest.run("cat /tmp/watch"), "the guest looks")
    device.crash()
    is_well(guest)
    reads_all("/other")
    guest.run("kill -9 $W; true")
    is_well(guest)


@case("a new device takes its place")
def _():
    new = Device("new", shared, window="16M")
    plug(new, "port3", "/new")
    reads_all("/new")
    guest.run("umount /new")
    unplug(new)
    is_well(guest)


@case("the device that was killed is started again")
def _():
    if not RECONNECTS:
        raise Skip("QEMU's vhost-user-fs does not connect again: a new device, as before, is what there is")
    device.begin_again()
    # QEMU 11.1 ends by an assertion when a back-end returns to a chardev with reconnect-ms, whatever the device.
    equal(has_ended(guest), signal.SIGABRT, "the signal that ended it")
    check("vhost_dev_start" in guest.text(), guest.text()[-300:])


@case("the end of all")
def _():
    guest.quit()
    for each in (device, other) if RECONNECTS else (other,):
        equal(each.kill(signal.SIGTERM), 0, "status of a device")


run()
