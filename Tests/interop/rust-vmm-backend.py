# SPDX-License-Identifier: BSD-3-Clause
"""A disk on rust-vmm's vhost-user-backend (rust-vmm/src/bin/disk.rs) behind the library's front-end."""

import signal
import struct

import _rust
from _interop import (
    F_EVENT_IDX,
    F_INDIRECT,
    SECTOR,
    VERSION_1,
    Driver,
    Process,
    blk_read,
    blk_write,
    case,
    check,
    equal,
    file_of,
    run,
    socket_path,
)

programs = _rust.build()
SIZE, PAGE, QUEUES = 1 << 20, 4096, 2
SHOW, HIDE = 0x1000, 0x1001
FEATURES = VERSION_1 | 1 << 9  # flush
image = file_of("image", SIZE)
content = image.read_bytes()
sock = socket_path("blk.sock")
disk = Process("disk", programs / "disk", sock, image)
disk.listens(sock)
driver = None


def sectors(at, count=1):
    return content[at * SECTOR : (at + count) * SECTOR]


def page(kind, number):
    """The disk maps a page into its region, or undoes it. Returns the status."""
    return driver.do(0, struct.pack("<IIQ", kind, 0, number), 1)[1][0]


def shown(number):
    return bytes.fromhex(driver.ask("window", 0, number * PAGE, PAGE))


@case("it is found and started")
def _():
    global driver
    driver = Driver(sock, QUEUES, "reconnect")
    check(driver.info()["features"] & FEATURES == FEATURES)
    equal(driver.info()["queues"], QUEUES)
    equal(struct.unpack("<Q", bytes.fromhex(driver.ask("config", 0, 8)))[0], SIZE // SECTOR)
    driver.ask("start", FEATURES)


@case("reads are the file's, on each queue, and a write reaches it")
def _():
    for queue in range(QUEUES):
        for sector in (0, 7, SIZE // SECTOR - 1):
            equal(blk_read(driver, sector, queue_=queue), sectors(sector))
    new = bytes(range(256)) * 4
    blk_write(driver, 100, new)
    equal(image.read_bytes()[100 * SECTOR : 102 * SECTOR], new)
    blk_write(driver, 100, sectors(100, 2), queue_=1)
    equal(image.read_bytes(), content)


@case("a bad request is answered, and the next is served")
def _():
    equal(driver.do(0, struct.pack("<IIQ", 0, 0, SIZE // SECTOR), SECTOR, 1)[1][-1:], b"\1")
    equal(driver.do(0, struct.pack("<IIQ", 77, 0, 0), 1)[1], b"\2")
    equal(blk_read(driver, 3), sectors(3))


@case("sixteen requests are in flight at once")
def _():
    chains = [(n, driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1, kick=n >= 14)) for n in range(16)]
    for n, chain in chains:
        equal(driver.wait(chain), (SECTOR + 1, sectors(n) + b"\0"))


@case("it maps pages of its file into its region, and undoes them")
def _():
    for number in (0, 9, SIZE // PAGE - 1):
        equal(page(SHOW, number), 0)
        equal(shown(number), content[number * PAGE : (number + 1) * PAGE])
        equal(page(HIDE, number), 0)
    equal(page(HIDE, 9), 1, "an unmap of an empty place")
    equal(page(SHOW, SIZE // PAGE), 1, "a map beyond the region and the file")
    equal(page(SHOW, 3), 0)
    equal(page(SHOW, 3), 1, "a map over another")
    equal(blk_read(driver, 4), sectors(4))


@case("a request that waits in the ring is served after a start, twenty times")
def _():
    for n in range(20):
        driver.ask("stop")
        # Every third one was kicked before the start.
        chain = driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1, kick=n % 3 == 0)
        driver.ask("start", FEATURES)
        equal(driver.wait(chain)[1][:-1], sectors(n))


@case("a mapping stays over stop and start")
def _():
    equal(shown(3), content[3 * PAGE : 4 * PAGE])
    equal(page(HIDE, 3), 0)


@case("one queue can be disabled and enabled")
def _():
    driver.ask("enable", 1, 0)
    equal(blk_read(driver, 5), sectors(5))
    chain = driver.put(1, struct.pack("<IIQ", 0, 0, 6), SECTOR, 1)
    driver.ask("enable", 1, 1)
    equal(driver.wait(chain)[1][:-1], sectors(6))


@case("a reset undoes mappings, and it starts with event indices and indirect descriptors")
def _():
    equal(page(SHOW, 5), 0)
    driver.ask("reset")
    driver.event("reset")
    driver.ask("start", FEATURES | F_EVENT_IDX | F_INDIRECT)
    for n in range(4):
        equal(blk_read(driver, n), sectors(n))
    equal(page(SHOW, 5), 0)
    driver.ask("reset")
    driver.event("reset", 2)
    driver.ask("start", FEATURES)
    equal(blk_read(driver, 9), sectors(9))


@case("killed with requests in its rings and started again, it serves them")
def _():
    # It is stopped, so that requests are in its rings when it is killed.
    disk.process.send_signal(signal.SIGSTOP)
    chains = [(n, driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1)) for n in range(12)]
    disk.kill()
    driver.event("disconnect")
    disk.start()
    driver.event("ready", 2)
    for n, chain in chains:
        equal(driver.wait(chain), (SECTOR + 1, sectors(n) + b"\0"))
    equal(blk_read(driver, 40), sectors(40))
    equal(page(SHOW, 5), 0)


@case("another front-end comes after this one")
def _():
    driver.ask("quit")
    equal(driver.process.wait(), 0)
    other = Driver(sock, 1, name="another-driver")
    other.ask("start", FEATURES)
    equal(blk_read(other, 12), sectors(12))


run()
