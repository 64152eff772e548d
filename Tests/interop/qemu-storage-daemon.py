# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's qemu-storage-daemon (vhost-user-blk) behind the library's front-end."""

import signal
import struct

from _interop import (
    FETCHED,
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
    libraries,
    need,
    run,
    socket_path,
)

need("qemu")
SIZE = 1 << 20
QUEUES = 2
FEATURES = VERSION_1 | 1 << 9  # flush
image = file_of("image", SIZE)
content = image.read_bytes()
sock = socket_path("blk.sock")
daemon = Process(
    "qemu-storage-daemon",
    FETCHED / "qemu/usr/bin/qemu-storage-daemon",
    *("--blockdev", f"driver=file,node-name=file,filename={image}"),
    *("--export", f"vhost-user-blk,id=export,node-name=file,addr.type=unix,addr.path={sock},writable=on,num-queues={QUEUES}"),
    environment=libraries("qemu"),
)
driver = None


def sectors(at, count=1):
    return content[at * SECTOR : (at + count) * SECTOR]


@case("it is found and started")
def _():
    global driver
    driver = Driver(sock, QUEUES, "reconnect")
    check(driver.info()["features"] & FEATURES == FEATURES)
    equal(driver.info()["queues"], QUEUES)
    capacity = struct.unpack("<Q", bytes.fromhex(driver.ask("config", 0, 8)))[0]
    equal(capacity, SIZE // SECTOR)
    driver.ask("start", FEATURES)


@case("reads are the file's, on each queue")
def _():
    for queue in range(QUEUES):
        for sector in (0, 7, SIZE // SECTOR - 1):
            equal(blk_read(driver, sector, queue_=queue), sectors(sector))
    equal(blk_read(driver, 8, 16384), sectors(8, 32))


@case("a write reaches the file")
def _():
    new = bytes(range(256)) * 4
    blk_write(driver, 100, new)
    equal(image.read_bytes()[100 * SECTOR : 102 * SECTOR], new)
    blk_write(driver, 100, sectors(100, 2), queue_=1)
    equal(image.read_bytes(), content)


@case("a bad request is answered, and the next is served")
def _():
    for sector, status in ((SIZE // SECTOR, 1), (1 << 60, 1)):
        equal(driver.do(0, struct.pack("<IIQ", 0, 0, sector), SECTOR, 1)[1][-1:], bytes([status]))
    equal(driver.do(0, struct.pack("<IIQ", 77, 0, 0), 1)[1], b"\2")
    equal(blk_read(driver, 3), sectors(3))


@case("sixteen requests are in flight at once")
def _():
    chains = [(n, driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1, kick=n >= 14)) for n in range(16)]
    for n, chain in chains:
        equal(driver.wait(chain), (SECTOR + 1, sectors(n) + b"\0"))


@case("a request that waits in the ring is served after a start, twenty times")
def _():
    for n in range(20):
        driver.ask("stop")
        chain = driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1, kick=n % 3 == 0)
        driver.ask("start", FEATURES)
        equal(driver.wait(chain)[1][:-1], sectors(n))


@case("one queue can be disabled and enabled")
def _():
    driver.ask("enable", 1, 0)
    equal(blk_read(driver, 5), sectors(5))
    driver.ask("enable", 1, 1)
    equal(blk_read(driver, 6, queue_=1), sectors(6))


@case("a reset, and a start with event indices and indirect descriptors")
def _():
    driver.ask("reset")
    driver.event("reset")
    driver.ask("start", FEATURES | F_EVENT_IDX | F_INDIRECT)
    for n in range(4):
        equal(blk_read(driver, n), sectors(n))
    driver.ask("reset")
    driver.event("reset", 2)
    driver.ask("start", FEATURES)
    equal(blk_read(driver, 9), sectors(9))


@case("killed with requests in its rings and started again, it serves them")
def _():
    # It is stopped, so that requests are in its rings when it is killed.
    daemon.process.send_signal(signal.SIGSTOP)
    chains = [(n, driver.put(n % 2, struct.pack("<IIQ", 0, 0, n), SECTOR, 1)) for n in range(12)]
    daemon.kill()
    driver.event("disconnect")
    daemon.start()
    driver.event("ready", 2)
    for n, chain in chains:
        equal(driver.wait(chain), (SECTOR + 1, sectors(n) + b"\0"))
    equal(blk_read(driver, 40), sectors(40))


@case("another front-end comes after this one")
def _():
    driver.ask("quit")
    equal(driver.process.wait(), 0)
    other = Driver(sock, 1, name="another-driver")
    other.ask("start", FEATURES)
    equal(blk_read(other, 12), sectors(12))


run()
