# SPDX-License-Identifier: BSD-3-Clause
"""Other features of a machine: an IOMMU, migration, and devices whose configuration changes."""

import os
import pathlib
import signal
import subprocess
import sys

from _guest import BY_LOADS, CHUNK, EMULATOR, QEMU, Device, boot, content, equal_sums, folder, is_well, mount, right_sums, sums
from common.cases import PATIENCE_S, Process, Skip, case, check, equal, run, socket_path, until
from common.machine import Guest, chardev

shared = folder("shared")
for n in range(4):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, n))
device = Device("files", shared, window="16M")
guest = None
IOMMU = ["-device", "intel-iommu"]


def refused():
    """QEMU's answer to a migration; nothing if it begins one."""
    try:
        guest.qmp("migrate", uri="exec:cat >/dev/null")
    except AssertionError as error:
        return str(error)
    until(lambda: guest.qmp("query-migrate").get("status") in ("completed", "failed"), "the migration ends")
    return ""


@case("DAX behind an IOMMU: the guest's loads do not pass it")
def _():
    global guest
    guest = boot(device, before=IOMMU, append="intel_iommu=on")
    check(guest.run("ls /sys/class/iommu"), "the guest has no IOMMU")
    mount(guest, device)
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))
    check(device.counts()["live"] >= 4)


@case("a migration is refused while files are mapped, with a sentence")
def _():
    said = refused()
    # Debian's QEMU never migrates its vhost-user-test-device, and QEMU 7.2 never migrates vhost-user-fs.
    wanted = "unmount the file system before a migration" if QEMU == "10.0" else "non-migratable"
    check(wanted in said, said or "a migration began")
    is_well(guest)


@case("after the unmount nobody has mappings any more")
def _():
    guest.run("umount /mnt")
    equal(device.counts()["live"], 0, "mappings that are live")
    said = refused()
    check("mapped" not in said, said)
    mount(guest, device)
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))
    is_well(guest)


@case("a device whose rings an IOMMU would translate is refused with a sentence")
def _():
    guest.quit()  # the device serves one front-end at a time
    words = [*device.words()[:-1], device.option() + ",iommu_platform=on"]
    command = [*EMULATOR.command, "-nodefaults", "-display", "none", "-machine", "q35,memory-backend=ram", "-m", "64M"]
    command += ["-object", "memory-backend-memfd,id=ram,size=64M,share=on", *IOMMU, *words]
    ended = subprocess.run([str(word) for word in command], env={**os.environ, **EMULATOR.environment}, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    check(ended.returncode == 1 and "iommu_platform=true is not supported by the device" in ended.stderr, ended.returncode, ended.stderr)


@case("a configuration that changes is taken by a device that has one")
def _():
    if QEMU == "sid":
        raise Skip("it is no QEMU with the glue")
    sock = socket_path("blk.sock")
    blk = Process("blk", sys.executable, "-B", pathlib.Path(__file__).parent / "_blk.py", sock)
    blk.listens(sock)
    other = Guest("config", *chardev("blk", sock), "-device", "vhost-user-blk-pci,chardev=blk,num-queues=1", emulator=EMULATOR)
    blk.has_said("started")  # the firmware has made requests that nobody answers: no guest boots
    blk.process.send_signal(signal.SIGUSR1)
    blk.has_said("told 0, asked 1")
    equal(other.qmp("query-status")["status"], "running")
    other.quit()


@case("the end of both")
def _():
    device.kill(15)


run()
