# SPDX-License-Identifier: BSD-3-Clause
"""On a terminal there are a prompt, editing, history and completion, and colours unless NO_COLOR is set; what is said does not tear a line."""
import fcntl
import pty
import termios

from _probe import *


class Person:
    def __init__(self, path, **environment):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 100, 0, 0))  # too small for the live view
        unset = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [program(), "connect", path],
            stdin=theirs,
            stdout=theirs,
            env={**unset, "LC_ALL": "C", "TERM": "xterm", "HOME": "/nonexistent", **environment},
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, text):
        timer = threading.Timer(PATIENCE_S, self.process.kill)
        timer.start()
        while text not in self.seen:
            try:
                part = os.read(self.ours, 65536)
            except OSError:
                part = b""
            check(part, f"{text!r} was not to be seen in {self.seen[-2000:]!r}")
            self.seen += part.decode()
        timer.cancel()
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, text):
        os.write(self.ours, text.encode())

    def end(self):
        try:
            while os.read(self.ours, 65536):
                pass
        except OSError:
            pass
        os.close(self.ours)
        return self.process.wait(PATIENCE_S)


def linked_with_libedit():
    return b"libedit" in subprocess.run(["ldd", program()], capture_output=True).stdout


if not linked_with_libedit():
    print("the program was built without libedit")
    sys.exit(77)

with Backend().listen() as backend:
    person = Person(backend.path)
    person.wait_for("\033[1mready")
    person.wait_for("> ")
    fd = memfd(PAGE)
    # Editing: what was typed wrong is taken back.
    person.type("help quut\b\bit\n")
    person.wait_for("quit                                     end")
    # Completion of a command.
    person.type("devi\t\n")
    person.wait_for("device-status")
    person.wait_for("STATUS")
    # An event comes while a line is typed, and the line goes on.
    person.type("read 0 0")
    person.wait_for("read 0 0")
    equal(backend.map(fd, 0, PAGE), 0, "answer")
    person.wait_for("shmid 0")
    person.wait_for("read 0 0")
    person.type(" 8\n")
    person.wait_for("00000000  00 00 00 00 00 02 00 00")
    # History: the line before.
    person.type("\033[A\n")
    person.wait_for("00000000  00 00 00 00 00 02 00 00")
    person.type("quit\n")
    equal(person.end(), 0, "exit status")
    os.close(fd)

# No colours where they are not wanted; the end of input ends it.
with Backend().listen() as backend:
    person = Person(backend.path, NO_COLOR="1")
    before = person.wait_for("ready ")
    check("\033[1m" not in before + person.seen, before)
    person.wait_for("> ")
    person.type("\x04")
    equal(person.end(), 0, "exit status")
