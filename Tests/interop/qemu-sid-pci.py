# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's generic device has the rules for shared memory that pci.h states. vhushmem_pci_check_qemu predicts what QEMU accepts."""

import ctypes
import errno
import os

from _interop import PATIENCE_S, Process, case, check, device, equal, need, run, socket_path
from _qtest import SidMachine, VirtioDevice

need("sid-qemu")
PAGE, MIB = 4096, 1 << 20
SHMEM_BAR, MODERN_BAR = 4, 2
PIO_NOTIFY, MIGRATION = 1, 2
QEMU_DEVICE = "vhost-user-test-device-pci,chardev=back,virtio-id=26,num_vqs=1,config_size=0"
library = ctypes.CDLL(os.environ["VHUSHMEM_LIBRARY"])
for function in ("vhushmem_device_new", "vhushmem_region_new"):
    getattr(library, function).restype = ctypes.c_void_p


def ours(sizes, flags=0):
    """The library's verdict on a device with regions of these sizes: a result, and the size of the BAR."""
    ours_device = ctypes.c_void_p(library.vhushmem_device_new(None, None))
    for identity, size in enumerate(sizes):
        check(library.vhushmem_region_new(ours_device, identity, ctypes.c_uint64(size), None, None), "no region")
    bar = ctypes.c_uint64()
    result = library.vhushmem_pci_check_qemu(ours_device, flags, ctypes.byref(bar), None)
    library.vhushmem_device_unref(ours_device)
    return result, bar.value


def before(sizes, name, more=""):
    """A QEMU in front of a device with such regions."""
    sock = socket_path(f"{name}.sock")
    device("features", sock, 0, *sizes, name=f"{name}-device")
    return SidMachine(name, sock, QEMU_DEVICE + more)


def last_words(sizes, name, more=""):
    """QEMU's message when it did not start."""
    try:
        before(sizes, name, more)
    except (AssertionError, OSError):
        ended = Process.all[-1]
        ended.process.wait(PATIENCE_S)
        return ended.text()
    raise AssertionError("QEMU starts")


@case("one region after the other is in BAR 4, in the order of ids, and the modern interface in BAR 2")
def _():
    sizes = (MIB - PAGE, PAGE, MIB)
    machine = before(sizes, "layout")
    driver = VirtioDevice(machine)
    equal(ours(sizes), (0, 2 * MIB))
    at = driver.bars[SHMEM_BAR]
    for identity, size in enumerate(sizes):
        equal(driver.window(identity), (at, size))
        at += size
    equal(driver.shapes[SHMEM_BAR], (2 * MIB, True, True), "BAR of the regions: bytes, 64 bits, prefetchable")
    check(all(driver.bar_of(kind) == MODERN_BAR for kind in (1, 2, 3, 4)), "modern interface")
    machine.quit()


@case("without regions the modern interface is in BAR 2 as well")
def _():
    machine = before((), "none")
    driver = VirtioDevice(machine)
    check(all(driver.bar_of(kind) == MODERN_BAR for kind in (1, 2, 3, 4)), "modern interface")
    check(SHMEM_BAR not in driver.bars, "a BAR of no regions")
    equal(ours((), MIGRATION), (0, 0))
    machine.quit()


@case("a sum that is no power of two ends QEMU")
def _():
    equal(ours((MIB, 2 * MIB)), (-errno.EDOM, 3 * MIB))
    check("is_power_of_2" in last_words((MIB, 2 * MIB), "sum"))


@case("modern-pio-notify ends QEMU, with regions and without: two BARs would be number 2")
def _():
    for sizes, name in (((MIB,), "pio"), ((), "pio-none")):
        equal(ours(sizes, PIO_NOTIFY), (-errno.EADDRINUSE, sum(sizes)))
        check("pci_register_bar" in last_words(sizes, name, ",modern-pio-notify=on"))


@case("migration is blocked while there is a region")
def _():
    equal(ours((MIB,), MIGRATION), (-errno.EBUSY, MIB))
    for sizes, name in (((MIB,), "migration"), ((), "migration-none")):
        machine = before(sizes, name)
        blockers = machine.qmp("query-migrate").get("blocked-reasons", [])
        equal(any("Shared Memory" in blocker for blocker in blockers), bool(sizes), blockers)
        machine.quit()


run()
