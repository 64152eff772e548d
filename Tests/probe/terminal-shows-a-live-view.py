# SPDX-License-Identifier: BSD-3-Clause
"""On a terminal the regions are bars whose cells show the mappings, with the last requests. A small terminal shows plain lines."""
import fcntl
import pty
import termios

from _probe import *


class Terminal:
    """The program with a terminal of so many rows as its standard output."""

    def __init__(self, path, rows, *arguments):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        self.process = subprocess.Popen(
            [program(), "--socket", path, *arguments],
            stdin=subprocess.PIPE,
            stdout=theirs,
            env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"},
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, *texts):
        """All of these come, in any order, from now on."""
        self.seen = ""
        timer = threading.Timer(PATIENCE_S, self.process.kill)
        timer.start()
        while not all(text in self.seen for text in texts):
            try:
                part = os.read(self.ours, 65536)
            except OSError:  # the other end is closed
                part = b""
            check(part, f"{texts} were not to be seen in {self.seen[-3000:]!r}")
            self.seen += part.decode()
        timer.cancel()

    def resize(self, rows):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))

    def say(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def end(self):
        self.say("quit")
        self.process.stdin.close()
        rest = self.seen
        while True:
            try:
                part = os.read(self.ours, 65536)
            except OSError:
                part = b""
            if not part:
                break
            rest += part.decode()
        equal(self.process.wait(PATIENCE_S), 0, "exit status")
        os.close(self.ours)
        return rest


with Backend(regions={0: REGION, 7: 4 * PAGE}).listen() as backend:
    terminal = Terminal(backend.path, 30)
    terminal.wait_for("serving", "0: 64 KiB, 4 KiB a cell", "." * 16, "7: 16 KiB, 4 KiB a cell", "0 maps, 0 unmaps", "ready")
    fd = memfd(4 * PAGE)
    equal(backend.map(fd, PAGE, 2 * PAGE), 0, "answer")
    equal(backend.map(fd, 4 * PAGE, PAGE, rw=True), 0, "answer")
    equal(backend.map(fd, 3 * PAGE, PAGE, shmid=7), 0, "answer")
    check(backend.map(fd, 4 * PAGE, PAGE) < 0, "an overlap is refused")
    terminal.wait_for(".rr.W...........\033", "...r\033", "3 maps, 0 unmaps, 1 refused", "overlaps")
    check("map    region 0  0x2000 bytes at 0x1000, file 0x0, read-only" in terminal.seen, terminal.seen[-3000:])
    terminal.say("read 0 0x1000 4")
    terminal.wait_for("00001000  00 00 00 00")
    equal(backend.unmap(PAGE, 2 * PAGE), 0, "answer")
    terminal.wait_for("....W...........\033", "1 unmaps")

    # A terminal that becomes too small scrolls as a whole again, and shows lines. One that is large enough shows the view again.
    terminal.resize(8)
    terminal.wait_for("\033[r")
    equal(backend.map(fd, PAGE, PAGE), 0, "answer")
    terminal.wait_for("map       shmid 0")
    terminal.resize(30)
    terminal.wait_for(".r..W...........\033", "\033[2J")
    rest = terminal.end()
    check("\033[r" in rest, "the terminal scrolls as before")
    os.close(fd)

with Backend().listen() as backend:
    terminal = Terminal(backend.path, 10)
    terminal.wait_for("ready")
    fd = memfd(PAGE)
    equal(backend.map(fd, 0, PAGE), 0, "answer")
    terminal.wait_for("map       shmid 0")
    rest = terminal.end()
    check("\033" not in rest, "nothing but lines")
    os.close(fd)
