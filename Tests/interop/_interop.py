# SPDX-License-Identifier: BSD-3-Clause
"""The base of the scripts here, besides Tests/common/cases.py: devices of this project, and the driver, a front-end that obeys lines."""

import json
import os
import pathlib
import queue
import signal
import struct
import subprocess
import threading

from common.cases import (  # pylint: disable=unused-import
    FETCHED,
    PATIENCE_S,
    ROOT,
    SCRATCH,
    STAGE,
    Process,
    Skip,
    case,
    check,
    equal,
    fetch,
    file_of,
    libraries,
    need,
    run,
    socket_path,
    until,
    with_own_loader,
)

PROGRAMS = pathlib.Path(os.environ["VHUSHMEM_INTEROP"])
PROBE = pathlib.Path(os.environ["VHUSHMEM_PROBE"])
VERSION_1 = 1 << 32
F_INDIRECT, F_EVENT_IDX, F_PROTOCOL = 1 << 28, 1 << 29, 1 << 30


def device(kind, sock, *words, name=None):
    """A back-end of the library: device-KIND.c."""
    running = Process(name or f"device-{kind}", PROGRAMS / f"device-{kind}-c", sock, *words)
    running.has_said("device  listens")
    return running


# ---- vhushmem-probe in between ----


class Proxy(Process):
    """vhushmem-probe between a front-end, which connects to `path`, and the device at `sock`. It reports each message, and records it."""

    def __init__(self, sock, name="proxy"):
        self.path, self.capture = socket_path(f"{name}.sock"), SCRATCH / f"{name}.pcapng"
        words = ("--listen", self.path, "--connect", sock, "--record", self.capture, "--dump-wire", "--summary", "--json")
        super().__init__(name, PROBE, "proxy", *words)
        self.listens(self.path)

    def finish(self):
        """Ends it. Returns what it reported."""
        equal(self.kill(signal.SIGTERM), 0, "exit status of the proxy")
        return [json.loads(line) for line in self.text().splitlines()]


def front(sock):
    """The socket to which a front-end connects. When a script runs again behind a proxy (_proxy.py), that is the proxy's."""
    return sock


# ---- the driver ----


class Driver(Process):
    """driver.c, which describes the commands."""

    def __init__(self, sock, queues, *words, name="driver"):
        super().__init__(name, PROGRAMS / "driver-c", front(sock), queues, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answers, self.events, self.used = queue.Queue(), [], {}
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        self.answer("connect")

    def read(self):
        with self.log.open("a") as log:
            for line in self.process.stdout:
                line = line.decode().rstrip("\n")
                log.write(line[:100] + "\n")
                log.flush()
                word, _, rest = line.partition(" ")
                if word == "event":
                    with self.changed:
                        self.events.append(rest)
                        self.changed.notify_all()
                elif word == "used":
                    queue_, head, written, *data = rest.split()
                    with self.changed:
                        self.used.setdefault((int(queue_), int(head)), []).append((int(written), bytes.fromhex("".join(data))))
                        self.changed.notify_all()
                else:
                    self.answers.put(line)
        self.answers.put("err 0 the driver ended")
        with self.changed:
            self.changed.notify_all()

    def answer(self, command):
        line = self.answers.get(timeout=PATIENCE_S)
        check(line.startswith("ok"), f"{command[:60]}: {line}")
        return line[3:]

    def send(self, *words):
        self.process.stdin.write((" ".join(str(word) for word in words) + "\n").encode())
        self.process.stdin.flush()

    def ask(self, *words):
        self.send(*words)
        return self.answer(" ".join(str(word) for word in words))

    def refused(self, *words):
        self.send(*words)
        line = self.answers.get(timeout=PATIENCE_S)
        check(line.startswith("err"), f"{words}: {line}")
        return line[4:]

    def info(self):
        return {name: int(value, 0) for name, value in (word.split("=") for word in self.ask("info").split())}

    def put(self, queue_, *parts, kick=True):
        """A part is bytes for the device, or a number of bytes that it may write. Returns (queue, head)."""
        words = [f"in:{part}" if isinstance(part, int) else f"out:{part.hex()}" for part in parts]
        head = int(self.ask("put", queue_, *words))
        check(head >= 0, "no room in the ring")
        if kick:
            self.ask("kick", queue_)
        return queue_, head

    def wait(self, chain):
        """Waits until a chain comes back. Returns (written, bytes)."""

        def came():
            return self.used.get(chain) or not self.is_alive

        with self.changed:
            check(self.changed.wait_for(came, PATIENCE_S), f"chain {chain} does not come back")
            check(self.used.get(chain), "the driver ended")
            return self.used[chain].pop(0)

    def do(self, queue_, *parts):
        return self.wait(self.put(queue_, *parts))

    def event(self, name, count=1):
        """Waits until an event has come this often."""

        def came():
            return sum(event.split()[0] == name for event in self.events) >= count

        with self.changed:
            check(self.changed.wait_for(lambda: came() or not self.is_alive, PATIENCE_S), f"no event {name}: {self.events}")
            check(came(), "the driver ended")


# ---- virtio-blk ----

SECTOR = 512


def blk_read(driver, sector, size=SECTOR, queue_=0):
    written, data = driver.do(queue_, struct.pack("<IIQ", 0, 0, sector), size, 1)
    equal((written, data[-1]), (size + 1, 0), "a read's length and status")
    return data[:-1]


def blk_write(driver, sector, data, queue_=0):
    written, answer = driver.do(queue_, struct.pack("<IIQ", 1, 0, sector), data, 1)
    equal((written, answer), (1, b"\0"), "a write's length and status")
    written, answer = driver.do(queue_, struct.pack("<IIQ", 4, 0, 0), 1)
    equal((written, answer), (1, b"\0"), "a flush's length and status")
