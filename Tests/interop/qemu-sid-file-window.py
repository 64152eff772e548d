# SPDX-License-Identifier: BSD-3-Clause
"""QEMU of sid, which has shared memory regions, in front of the device of examples/file-window.c. The script is the guest, over qtest."""

import errno
import struct

from _interop import PROGRAMS, Process, case, check, equal, file_of, need, run, socket_path
from _qtest import SidMachine, VirtioDevice

need("sid-qemu")
MAP, UNMAP = 1, 2
PAGE, WINDOW = 4096, 16 << 20
SIZE = 1 << 20
files = [file_of(f"file{n}", SIZE, seed=1 + n * 1000) for n in range(2)]
content = [file.read_bytes() for file in files]
sock = socket_path("window.sock")
window_device = Process("file-window", PROGRAMS.parent / "examples/file-window-c", sock, *files)
window_device.listens(sock)
machine = driver = None


def ask(operation, offset, length, file=0):
    """Returns a result and its place in the window."""
    reply = driver.ask(struct.pack("<IIQQ", operation, file, offset, length), 16)
    result, _, at = struct.unpack("<iIQ", reply)
    return result, at


def mapped(offset, length, file=0):
    result, at = ask(MAP, offset, length, file)
    equal(result, 0, "result of a map")
    return at


def shows(at, file, offset, length):
    base, _ = driver.window(0)
    for part in range(0, length, PAGE):
        equal(machine.read(base + at + part, 64), content[file][offset + part : offset + part + 64], f"what the window has at {at + part:#x}")


@case("its window is a BAR with a capability")
def _():
    global machine, driver
    machine = SidMachine("qemu", sock, "vhost-user-test-device-pci,chardev=back,virtio-id=26,num_vqs=1,config_size=0")
    driver = VirtioDevice(machine)
    equal(driver.window(0)[1], WINDOW)
    driver.start()


@case("mapped ranges of two files are there")
def _():
    for file, offset, length in ((0, 0, PAGE), (1, 8 * PAGE, 16 * PAGE), (0, SIZE - PAGE, PAGE)):
        shows(mapped(offset, length, file), file, offset, length)


@case("a map that is refused is answered, and the next is served")
def _():
    equal(ask(MAP, 0, PAGE, file=7)[0], -errno.ENOENT)
    check(ask(MAP, SIZE, 4 * PAGE)[0] < 0, "a map beyond the end of the file is granted")
    at = mapped(PAGE, PAGE)
    shows(at, 0, PAGE, PAGE)
    equal(ask(UNMAP, at, PAGE)[0], 0)


@case("an unmapped range can be mapped again, fifty times")
def _():
    for n in range(50):
        at = mapped(n * PAGE, 2 * PAGE, n % 2)
        shows(at, n % 2, n * PAGE, 2 * PAGE)
        equal(ask(UNMAP, at, 2 * PAGE)[0], 0)
        equal(ask(UNMAP, at, 2 * PAGE)[0], -errno.ENOENT)


@case("a mapping stays over stop and cont, and the device serves on")
def _():
    at = mapped(3 * PAGE, PAGE)
    for _ in range(3):
        machine.qmp("stop")
        machine.qmp("cont")
        shows(at, 0, 3 * PAGE, PAGE)
        other = mapped(5 * PAGE, PAGE, 1)
        shows(other, 1, 5 * PAGE, PAGE)
        equal(ask(UNMAP, other, PAGE)[0], 0)


@case("after a reset with live mappings the device starts again, three times")
def _():
    for n in range(3):
        mapped(0, PAGE)
        driver.reset()
        driver.start()
        at = mapped((7 + n) * PAGE, PAGE)
        shows(at, 0, (7 + n) * PAGE, PAGE)


@case("QEMU lives on when the device is killed")
def _():
    window_device.kill()
    machine.qmp("query-status")
    machine.read(driver.ring, 16)
    check(machine.is_alive)


run()
