# SPDX-License-Identifier: BSD-3-Clause
"""The driver of a virtio-fs device, as far as reading a file needs it, and the cases that every virtiofsd must pass."""

import errno
import signal
import struct

from _interop import F_EVENT_IDX, F_INDIRECT, VERSION_1, Driver, blk_read, case, check, equal, until

LOOKUP, GETATTR, OPEN, READ, RELEASE, INIT = 1, 3, 14, 15, 18, 26
REQUESTS = 1  # the queue; 0 is for urgent requests
ROOT_NODE = 1


class FileSystem:
    def __init__(self, driver):
        self.driver, self.unique = driver, 0

    def header(self, opcode, node, size):
        self.unique += 1
        return struct.pack("<IIQQIIII", 40 + size, opcode, self.unique, node, 0, 0, 0, 0)

    def put(self, opcode, node, data, size, kick=True):
        return self.driver.put(REQUESTS, self.header(opcode, node, len(data)), data, 16, size, kick=kick)

    def answer(self, chain, unique):
        """Returns an error and the data."""
        written, data = self.driver.wait(chain)
        length, error, of = struct.unpack("<IiQ", data[:16])
        equal((length, of), (written, unique), "length and identity of an answer")
        return error, data[16:]

    def ask(self, opcode, node, data, size):
        chain = self.put(opcode, node, data, size)
        return self.answer(chain, self.unique)

    def done(self, *words):
        error, data = self.ask(*words)
        equal(error, 0, words[:2])
        return data

    def init(self):
        data = self.done(INIT, 0, struct.pack("<IIII", 7, 31, 1 << 17, 0), 64)
        equal(struct.unpack("<I", data[:4])[0], 7, "major version")

    def lookup(self, name):
        data = self.done(LOOKUP, ROOT_NODE, name.encode() + b"\0", 128)
        node, size = struct.unpack("<Q", data[:8])[0], struct.unpack("<Q", data[48:56])[0]
        return node, size

    def open(self, node):
        return struct.unpack("<Q", self.done(OPEN, node, struct.pack("<II", 0, 0), 16)[:8])[0]

    def read_words(self, handle, offset, size):
        return struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0)

    def read(self, node, handle, offset, size):
        return self.done(READ, node, self.read_words(handle, offset, size), size)


def virtiofsd_cases(daemon, sock, file):
    """`daemon` serves the folder that has `file`."""
    content = file.read_bytes()
    driver = fs = None
    node = handle = 0

    def opens():
        nonlocal node, handle
        fs.init()
        node, size = fs.lookup(file.name)
        equal(size, len(content))
        handle = fs.open(node)

    def reads(offset, size=4096):
        equal(fs.read(node, handle, offset, size), content[offset : offset + size])

    @case("it is found and started, and FUSE begins")
    def _():
        nonlocal driver, fs
        driver = Driver(sock, 2, "reconnect")
        driver.ask("start", VERSION_1)
        fs = FileSystem(driver)
        opens()

    @case("a file is read")
    def _():
        for offset in (0, 4096, len(content) - 100):
            reads(offset)
        reads(8192, 32768)

    @case("a missing file is an error")
    def _():
        equal(fs.ask(LOOKUP, ROOT_NODE, b"nothing\0", 128)[0], -errno.ENOENT)
        reads(0)

    @case("ten reads are in flight at once")
    def _():
        chains = []
        for n in range(10):
            chain = fs.put(READ, node, fs.read_words(handle, n * 4096, 4096), 4096, kick=n == 9)
            chains.append((n, chain, fs.unique))
        for n, chain, unique in chains:
            equal(fs.answer(chain, unique), (0, content[n * 4096 : (n + 1) * 4096]))

    @case("a request that waits in the ring is served after a start, twenty times")
    def _():
        for n in range(20):
            driver.ask("stop")
            chain = fs.put(READ, node, fs.read_words(handle, n * 4096, 512), 512, kick=n % 3 == 0)
            driver.ask("start", VERSION_1)
            equal(fs.answer(chain, fs.unique), (0, content[n * 4096 : n * 4096 + 512]))

    @case("only the queue of requests is started, as firmware does")
    def _():
        driver.ask("reset")
        driver.event("reset")
        driver.ask("start", VERSION_1, REQUESTS)
        opens()
        reads(0)

    @case("a reset, and a start with event indices and indirect descriptors")
    def _():
        driver.ask("reset")
        driver.event("reset", 2)
        driver.ask("start", VERSION_1 | F_EVENT_IDX | F_INDIRECT)
        opens()
        for n in range(5):
            reads(n * 4096)

    return lambda: (driver, fs, opens, reads)
