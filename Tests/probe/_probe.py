# SPDX-License-Identifier: BSD-3-Clause
"""The base of the tests of vhushmem-probe: a back-end that speaks bytes, and the program, whose lines are checked one by one.

It uses Python's standard library only. The runner runs the files here whose names do not begin with an underscore. Exit status 0:
passed; 77: skipped (the last line printed is the reason); anything else: failed.
"""

import array
import atexit
import errno
import json
import mmap
import os
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

import _schema

PAGE = mmap.PAGESIZE
REGION = 16 * PAGE
# Only a failing test waits so long.
PATIENCE_S = 120

# Requests of the front-end, and two of the back-end.
GET_FEATURES, SET_FEATURES, SET_OWNER = 1, 2, 3
SET_VRING_CALL, SET_VRING_ERR = 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES = 15, 16
GET_QUEUE_NUM, SET_BACKEND_REQ_FD, RESET_DEVICE = 17, 21, 34
GET_MAX_MEM_SLOTS, GET_SHMEM_CONFIG = 36, 44
MAP, UNMAP = 9, 10

VERSION, REPLY, NEED_REPLY = 0x1, 0x4, 0x8
MAP_RW = 1

MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD = 0, 3, 5, 9, 10
RESET_DEVICE_BIT, CONFIGURE_MEM_SLOTS, SHMEM = 13, 15, 22
VIRTIO_FEATURES = 1 << 30 | 1 << 32
# All except the bit that means SHMEM.
PROTOCOL_BITS = (MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD, RESET_DEVICE_BIT, CONFIGURE_MEM_SLOTS)

HEADER = struct.Struct("=III")
MMAP = struct.Struct("=B7xQQQQ")
U64 = struct.Struct("=Q")


# ---- checks ----


def check(condition, *what):
    """The condition holds."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what) or "not so")


def equal(seen, wanted, *what):
    if seen != wanted:
        raise AssertionError(f"{' '.join(str(part) for part in what)}: {seen!r}, not {wanted!r}")


def has(answer, **fields):
    """The line has these fields, with these values."""
    for name, wanted in fields.items():
        equal(answer.get(name), wanted, f"{name} of {answer}")
    return answer


def is_error(answer, *words):
    """An answer that says why the command failed, with these words in it."""
    text = answer.get("error")
    check(isinstance(text, str) and text, f"no error in {answer}")
    for word in words:
        check(word in text, f'no "{word}" in the error of {answer}')
    return answer


def is_answer(answer):
    check("error" not in answer, f"an error: {answer}")
    return answer


# ---- files ----


def folder():
    """A folder of the test's own. Its path is short, as paths of sockets must be."""
    path = tempfile.mkdtemp(prefix="p-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def pattern(size, seed=1):
    """Bytes that differ from place to place and from seed to seed."""
    return b"".join(U64.pack((seed + 1) << 40 | at) for at in range(0, size, 8))


def memfd(size, seed=1):
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.pwrite(fd, pattern(size, seed), 0)
    return fd


# ---- the back-end ----


def send_message(connection, request, flags, payload=b"", fds=()):
    """Header, payload and descriptors in one sendmsg."""
    message = HEADER.pack(request, flags, len(payload)) + payload
    sent = socket.send_fds(connection, [message], list(fds)) if fds else connection.send(message)
    equal(sent, len(message), "bytes sent")


def receive_exactly(connection, size):
    """Returns (bytes, descriptors); fewer bytes: the stream has ended."""
    parts, fds = b"", array.array("i")
    while len(parts) < size:
        part, ancillary, _, _ = connection.recvmsg(size - len(parts), socket.CMSG_SPACE(8 * fds.itemsize))
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if not part:
            break
        parts += part
    return parts, list(fds)


def receive_message(connection):
    """Returns (request, flags, payload, descriptors), or None at the end of the stream."""
    header, fds = receive_exactly(connection, HEADER.size)
    if len(header) < HEADER.size:
        return None
    request, flags, size = HEADER.unpack(header)
    payload, more = receive_exactly(connection, size)
    return request, flags, payload, fds + more


class Backend:
    """A back-end whose handshake runs in a thread. The test has its channel.

    `regions`: size by region id. `answers`: payload bytes instead of the usual answer to a request; None: no answer; a function: called
    with (back-end, request); it answers, or not.
    """

    def __init__(self, regions=None, bits=PROTOCOL_BITS, shmem=SHMEM, answers=None):
        self.regions = {0: REGION} if regions is None else regions
        self.protocol_features = sum(1 << bit for bit in (*bits, *([] if shmem is None else [shmem])))
        self.answers = answers or {}
        self.accepted = None  # the protocol features
        self.requests = []  # ids, in the order of arrival
        self.path = None
        self.main = None
        self.channel = None
        self.listener = None
        self.failure = None
        self.thread = None
        self.fds = []

    # -- life

    def listen(self, path=None):
        self.path = path or os.path.join(folder(), "s")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.settimeout(PATIENCE_S)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self._start()
        return self

    def connect(self, path):
        """Connects to a front-end that listens, or soon does."""
        self.path = path
        self.main = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.main.settimeout(PATIENCE_S)
        for _ in range(PATIENCE_S * 100):
            try:
                self.main.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                threading.Event().wait(0.01)
        self._start()
        return self

    def _start(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            if self.main is None:
                self.main, _ = self.listener.accept()
            self.main.settimeout(None)
            while (message := receive_message(self.main)) is not None:
                self._take(*message)
        except (ConnectionResetError, BrokenPipeError, TimeoutError, OSError):
            pass  # it is over; the test looks at the front-end's messages
        except Exception as failure:  # reported by `close`: an exception in a thread alone fails no test
            self.failure = failure

    def _take(self, request, flags, payload, fds):
        self.requests.append(request)
        self.fds += fds
        equal(flags & ~NEED_REPLY, VERSION, f"flags of request {request}")
        if request == SET_BACKEND_REQ_FD:
            equal(len(fds), 1, "descriptors of SET_BACKEND_REQ_FD")
            self.fds.remove(fds[0])
            self.channel = socket.socket(fileno=fds[0])
            self.channel.settimeout(PATIENCE_S)
        elif request == SET_PROTOCOL_FEATURES:
            self.accepted = U64.unpack(payload)[0]
        reply = self._reply(request)
        if request in self.answers:
            reply = self.answers[request]
            if callable(reply):
                reply = reply(self, request)
            if reply is None:
                return
        if reply is not None:
            send_message(self.main, request, VERSION | REPLY, reply)
        elif flags & NEED_REPLY:
            send_message(self.main, request, VERSION | REPLY, U64.pack(0))

    def _reply(self, request):
        if request == GET_SHMEM_CONFIG:
            return self.config()
        number = {
            GET_FEATURES: VIRTIO_FEATURES,
            GET_PROTOCOL_FEATURES: self.protocol_features,
            GET_QUEUE_NUM: 2,
            GET_MAX_MEM_SLOTS: 32,
        }.get(request)
        return None if number is None else U64.pack(number)

    def config(self):
        return struct.pack("=II256Q", len(self.regions), 0, *(self.regions.get(shmid, 0) for shmid in range(256)))

    # -- requests

    def send(self, request, payload=b"", fds=(), flags=VERSION | NEED_REPLY):
        send_message(self.channel, request, flags, payload, fds)

    def answer(self, request):
        """The value of the answer to a request: 0, or -errno."""
        message, _ = receive_exactly(self.channel, HEADER.size + U64.size)
        equal(len(message), HEADER.size + U64.size, "bytes of an answer")
        equal(HEADER.unpack(message[: HEADER.size]), (request, VERSION | REPLY, U64.size), "header of an answer")
        return struct.unpack("=q", message[HEADER.size :])[0]

    def map(self, fd, shm_offset, length, rw=False, fd_offset=0, shmid=0):
        self.send(MAP, MMAP.pack(shmid, fd_offset, shm_offset, length, MAP_RW if rw else 0), [fd])
        return self.answer(MAP)

    def unmap(self, shm_offset, length, shmid=0):
        self.send(UNMAP, MMAP.pack(shmid, 0, shm_offset, length, 0))
        return self.answer(UNMAP)

    # -- death

    def close_channel(self):
        self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()
        self.channel = None

    def close_main(self):
        # Also shut down: the thread that reads it would keep it alive.
        try:
            self.main.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        """Closes everything; the thread ends."""
        if self.main is None and self.listener is not None:
            # The thread still waits for a front-end.
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nobody:
                nobody.connect(self.path)
        for connection in (self.channel, self.main, self.listener):
            if connection is None:
                continue
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.thread is not None:
            self.thread.join(PATIENCE_S)
            check(not self.thread.is_alive(), "the back-end's thread goes on")
        for connection in (self.channel, self.main, self.listener):
            if connection is not None:
                connection.close()
        self.channel = self.main = self.listener = None
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        if self.failure is not None:
            raise self.failure

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.close()
        except Exception:
            if kind is None:
                raise


# ---- the program ----


def program():
    return os.environ.get("VHUSHMEM_PROBE") or sys.exit("VHUSHMEM_PROBE names no program")


def run(*arguments, stdin=subprocess.DEVNULL):
    """Runs the program with these arguments to its end: (exit status, standard output, standard error)."""
    done = subprocess.run([program(), *arguments], stdin=stdin, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


class Probe:
    """A running vhushmem-probe --json. Every line must be one JSON object."""

    def __init__(self, path, *arguments, environment=None):
        self.process = subprocess.Popen(
            [program(), "connect", path, "--json", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        self.lines = queue.Queue()
        self.events = []  # came while an answer was awaited
        self.errors = b""
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    # -- what it says

    def line(self, patience=PATIENCE_S):
        """The next line, or None at the end."""
        try:
            line = self.lines.get(timeout=patience)
        except queue.Empty:
            raise AssertionError(f"no line in {patience} s") from None
        if line is None:
            self.lines.put(None)
            return None
        check(line.endswith(b"\n"), f"a line without its end: {line!r}")
        record = json.loads(line.decode("utf-8"))
        check(isinstance(record, dict) and next(iter(record)) == "event", f"its first key is not event: {line!r}")
        equal(_schema.fault_of_line(record), None, f"how the line is documented: {line[:300]!r}")
        equal(line.startswith(b'{"event":"answer",'), record["event"] == "answer", f"how an answer begins: {line!r}")
        return record

    def event(self, name, **fields):
        """The next event is this one."""
        record = self.events.pop(0) if self.events else self.line()
        check(record is not None, f"the end, and no {name}")
        equal(record["event"], name, record)
        return has(record, **fields)

    def no_event(self):
        """Nothing came up to now: the program's output has the order of events."""
        self.ask("status")
        equal(self.events, [], "events")

    def ready(self):
        return self.event("ready")

    # -- what it is told

    def write(self, text):
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        self.process.stdin.flush()

    def answer(self):
        while True:
            record = self.line()
            check(record is not None, "the end, and no answer")
            if record["event"] == "answer":
                return record
            self.events.append(record)

    def ask(self, command):
        """Writes a command, and returns its answer."""
        self.write(command + "\n")
        return self.answer()

    def read(self, offset, length, shmid=0):
        """Reads bytes of a region."""
        answer = is_answer(self.ask(f"read {shmid} {offset} {length}"))
        has(answer, command="read")
        return bytes.fromhex(answer["hex"])

    def status(self):
        return has(is_answer(self.ask("status")), command="status")

    # -- its end

    def wait(self):
        """Its exit status. The test must have read all that it said."""
        status = self.process.wait(PATIENCE_S)
        for thread in self.threads:
            thread.join(PATIENCE_S)
        return status

    def said_all(self):
        equal(self.events, [], "events that nobody waited for")
        equal(self.line(), None, "the line after the last")

    def quit(self, status=0):
        """Sends quit, which is answered. The program ends with this exit status."""
        has(is_answer(self.ask("quit")), command="quit")
        equal(self.wait(), status, "exit status")
        self.said_all()

    def end_input(self, status=0):
        """Closes its input. The program ends with this exit status."""
        self.process.stdin.close()
        equal(self.wait(), status, "exit status")
        self.said_all()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass
        if kind is not None and self.errors:
            sys.stderr.write(self.errors.decode(errors="replace"))


class Device(Probe):
    """The program as a device; `device.path` is its socket."""

    def __init__(self, *arguments):
        self.path = os.path.join(folder(), "d")
        self.process = subprocess.Popen(
            [program(), "backend", self.path, "--json", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines, self.events, self.errors = queue.Queue(), [], b""
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors)]
        for thread in self.threads:
            thread.start()
        while not os.path.exists(self.path):
            check(self.process.poll() is None, "it has ended")
            threading.Event().wait(0.01)

    def until(self, event):
        while True:
            record = self.events.pop(0) if self.events else self.line()
            check(record is not None, "the end, and no", event)
            if record["event"] == event:
                return record


def together(*arguments, **backend):
    """A back-end and the program connected to it, after the handshake."""

    class Together:
        def __enter__(self):
            self.backend = Backend(**backend).listen()
            try:
                self.probe = Probe(self.backend.path, *arguments)
                self.probe.ready()
            except BaseException:
                self.__exit__(*sys.exc_info())
                raise
            return self.backend, self.probe

        def __exit__(self, *failure):
            if hasattr(self, "probe"):
                self.probe.__exit__(*failure)
            self.backend.__exit__(*failure)

    return Together()


def kill(process):
    """Kills it at once, as the kernel would."""
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)


# The modules, too, because the tests are short.
__all__ = [name for name in globals() if not name.startswith("_")]
