# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's vhost-user-gpu behind the library's front-end. The driver is the display as well."""

import struct

from _interop import FETCHED, VERSION_1, Driver, Process, case, check, equal, libraries, need, run, socket_path

need("qemu")
CONTROL, QUEUES = 0, 2
GET_DISPLAY_INFO, RESOURCE_CREATE_2D, RESOURCE_UNREF = 0x100, 0x101, 0x102
OK_NODATA, OK_DISPLAY_INFO, UNSPECIFIED = 0x1100, 0x1101, 0x1200
sock = socket_path("gpu.sock")
gpu = Process("vhost-user-gpu", FETCHED / "qemu/usr/lib/qemu/vhost-user-gpu", "-s", sock, environment=libraries("qemu"))
gpu.listens(sock)
driver = None


def ask(kind, room=24, rest=b""):
    """A command on the control queue. Returns the type of the answer and the bytes after its header."""
    written, data = driver.do(CONTROL, struct.pack("<IIQII", kind, 0, 0, 0, 0) + rest, room)
    check(written >= 24, f"an answer of {written} bytes")
    return struct.unpack_from("<I", data)[0], data[24:]


def display_is_told():
    kind, displays = ask(GET_DISPLAY_INFO, 408)
    equal(kind, OK_DISPLAY_INFO)
    equal(struct.unpack_from("<6I", displays), (0, 0, 1024, 768, 1, 0), "the first display")
    equal(displays[24:], bytes(15 * 24), "the others")


@case("it takes a display's socket and asks there")
def _():
    global driver
    driver = Driver(sock, QUEUES)
    driver.ask("gpu")
    # It does nothing else until that has an answer.
    driver.event("gpu")
    driver.ask("start", VERSION_1)


@case("the driver is told of the display")
def _():
    for _ in range(3):
        display_is_told()


@case("a resource is made, and a bad one refused")
def _():
    equal(ask(RESOURCE_CREATE_2D, rest=struct.pack("<4I", 1, 1, 64, 64))[0], OK_NODATA)
    check(ask(RESOURCE_CREATE_2D, rest=struct.pack("<4I", 1, 1, 64, 64))[0] >= UNSPECIFIED, "a resource is made twice")
    equal(ask(RESOURCE_UNREF, rest=struct.pack("<2I", 1, 0))[0], OK_NODATA)
    display_is_told()


@case("a command that waits in the ring is served after a start, ten times")
def _():
    for n in range(10):
        driver.ask("stop")
        chain = driver.put(CONTROL, struct.pack("<IIQII", GET_DISPLAY_INFO, 0, 0, 0, 0), 408, kick=n % 3 == 0)
        driver.ask("start", VERSION_1)
        equal(struct.unpack_from("<I", driver.wait(chain)[1])[0], OK_DISPLAY_INFO)


@case("it ends with the connection")
def _():
    driver.ask("quit")
    equal(driver.process.wait(), 0)
    gpu.process.wait()


run()
