# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts here stand on: cases, programs that run beside them, and the driver, a front-end of ours that obeys lines.

A script says what it needs, defines its cases and calls `run`. A case is a test: a function with a name that says a fact. They run in their
order in one process and may share what an earlier one started. A script that can't have what it needs ends with status 77, and the last line
that it printed is the reason.
"""

import array
import atexit
import json
import os
import pathlib
import queue
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(os.environ["VHUSHMEM_SOURCE"])
PROGRAMS = pathlib.Path(os.environ["VHUSHMEM_INTEROP"])
STAGE = pathlib.Path(os.environ["VHUSHMEM_STAGE"])
PROBE = pathlib.Path(os.environ["VHUSHMEM_PROBE"])
FETCHED = ROOT / "build" / "interop"
SCRATCH = pathlib.Path(os.environ["TMPDIR"])
# Reached only by a test that fails: emulated guests are slow, and the machine may be busy.
PATIENCE_S = int(os.environ.get("VHUSHMEM_INTEROP_PATIENCE_S", "400"))

VERSION_1 = 1 << 32
F_INDIRECT, F_EVENT_IDX, F_PROTOCOL = 1 << 28, 1 << 29, 1 << 30


class Skip(Exception):
    """The case can't be run here; the text says why."""


# ---- checks ----


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what) or "not so")


def equal(seen, wanted, *what):
    if seen != wanted:
        raise AssertionError(f"{' '.join(str(part) for part in what)}: {seen!r}, not {wanted!r}")


def until(condition, what, patience=PATIENCE_S):
    """Waits for a fact that no descriptor tells of."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {patience} s")
        time.sleep(0.05)
    return value


# ---- cases ----

CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function

    return add


def run():
    """Runs the cases. Once a case has failed, what those after it need may be gone: they are tried all the same."""
    print(f"cases {len(CASES)}", flush=True)
    failed = False
    for name, function in CASES:
        try:
            function()
            print(f"case {name}: ok", flush=True)
        except Skip as reason:
            print(f"case {name}: skip ({reason})", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed = True
            print(traceback.format_exc())
            for process in Process.all:
                process.tell_log()
            print(f"case {name}: FAIL", flush=True)
    sys.exit(1 if failed else 0)


# ---- what is needed ----


def fetch(*things):
    """Has packages fetched; `scripts/fetch-interop` knows their names. Raises Skip."""
    done = subprocess.run([ROOT / "scripts" / "fetch-interop", *things], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Skip(lines[-1] if lines else f"status {done.returncode}")


def need(*things):
    """The same for what a script is nothing without."""
    try:
        fetch(*things)
    except Skip as reason:
        print(reason)
        sys.exit(77)


def libraries(thing):
    found = [str(folder) for part in ("usr/lib", "lib") for folder in (FETCHED / thing / part).glob("*-linux-gnu")]
    return {"LD_LIBRARY_PATH": ":".join(found)}


def with_own_loader(thing, program, *more):
    """A command that runs a program of another release of Debian with the C library that it was built for."""
    root = FETCHED / thing
    folder = root / "usr/lib/x86_64-linux-gnu"
    path = ":".join(str(part) for part in (folder, *(folder / name for name in more)))
    return [folder / "ld-linux-x86-64.so.2", "--library-path", path, root / program]


# ---- processes ----


class Process:
    """A program that runs beside the script. It is killed at the end."""

    all = []

    def __init__(self, name, *command, environment=None, **more):
        self.name, self.command, self.more = name, [str(word) for word in command], more
        self.environment = {**os.environ, **(environment or {})}
        self.log = SCRATCH / f"{name}.log"
        self.start()
        Process.all.append(self)

    def start(self):
        with self.log.open("ab") as log:
            settings = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **self.more}
            self.process = subprocess.Popen(self.command, env=self.environment, cwd=SCRATCH, **settings)

    @property
    def is_alive(self):
        return self.process.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def tell_log(self):
        end = "runs" if self.is_alive else f"ended with {self.process.returncode}"
        print(f"--- {self.name} {end}")
        print("\n".join(self.text().splitlines()[-25:]))

    def has_said(self, pattern, count=1):
        """Waits until its output has the pattern."""

        def seen():
            if len(re.findall(pattern, self.text())) >= count:
                return True
            check(self.is_alive, f"{self.name} ended with {self.process.returncode}")
            return False

        until(seen, f"{self.name} says {pattern}")

    def listens(self, path):
        until(lambda: os.path.exists(path) or not self.is_alive, f"{self.name} listens")
        check(self.is_alive, f"{self.name} ended with {self.process.returncode}")

    def kill(self, how=signal.SIGKILL):
        if self.is_alive:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


@atexit.register
def kill_all():
    for process in Process.all:
        if process.is_alive:
            process.kill()


def device(kind, sock, *words, name=None):
    """A back-end of ours: device-KIND.c."""
    running = Process(name or f"device-{kind}", PROGRAMS / f"device-{kind}-c", sock, *words)
    running.has_said("device  listens")
    return running


def socket_path(name):
    return SCRATCH / name


def file_of(name, size, seed=1):
    """A file with a content that is different in each sector."""
    path = SCRATCH / name
    words = array.array("I", range(seed, seed + size // 4))
    path.write_bytes(words.tobytes())
    return path


# ---- vhushmem-probe in between ----


class Proxy(Process):
    """vhushmem-probe between a front-end, which connects to `path`, and the device at `sock`. It tells each message, and keeps it."""

    def __init__(self, sock, name="proxy"):
        self.path, self.capture = socket_path(f"{name}.sock"), SCRATCH / f"{name}.pcapng"
        words = ("--listen", self.path, "--connect", sock, "--record", self.capture, "--dump-wire", "--summary", "--json")
        super().__init__(name, PROBE, "proxy", *words)
        self.listens(self.path)

    def finish(self):
        """Ends it. Returns what it told."""
        equal(self.kill(signal.SIGTERM), 0, "exit status of the proxy")
        return [json.loads(line) for line in self.text().splitlines()]


def front(sock):
    """Where a front-end connects to. When a script runs again behind a proxy (_proxy.py), that is the proxy."""
    return sock


# ---- the driver ----


class Driver(Process):
    """driver.c: see there what commands take."""

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
        """Waits until an event has come so often."""

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
