# SPDX-License-Identifier: BSD-3-Clause
"""A terminal has a prompt, editing, history and completion, and colours unless NO_COLOR is set. Output does not tear a line that is
being typed."""
import fcntl
import pty
import termios

from _probe import *


class Person:
    def __init__(self, *arguments, **environment):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 100, 0, 0))  # too small for the live view
        unset = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [program(), *arguments],
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

    def complete(self, typed, shown):
        """After this is typed, the line or the output above it has this text. The editor draws only changes, so the test asks for the
        whole line."""
        self.type(typed + "\x0c")
        self.wait_for(shown)

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
    person = Person("connect", backend.path)
    person.wait_for("\033[1mready")
    person.wait_for("> ")
    fd = memfd(PAGE)
    # Editing: a typing error is corrected.
    person.type("help quut\b\bit\n")
    person.wait_for("quit                                     end")
    # Completion of a command.
    person.type("devi\t\n")
    person.wait_for("device-status")
    person.wait_for("STATUS")
    # An event comes while a line is being typed, and the line goes on.
    person.type("read 0 0")
    person.wait_for("read 0 0")
    equal(backend.map(fd, 0, PAGE), 0, "answer")
    person.wait_for("shmid 0")
    person.wait_for("read 0 0")
    person.type(" 8\n")
    person.wait_for("00000000  00 00 00 00 00 02 00 00")
    # History: the previous line.
    person.type("\033[A\n")
    person.wait_for("00000000  00 00 00 00 00 02 00 00")
    person.type("quit\n")
    equal(person.end(), 0, "exit status")
    os.close(fd)

# No colours if they are not wanted. The end of input ends it.
with Backend().listen() as backend:
    person = Person("connect", backend.path, NO_COLOR="1")
    before = person.wait_for("ready ")
    check("\033[1m" not in before + person.seen, before)
    person.wait_for("> ")
    person.type("\x04")
    equal(person.end(), 0, "exit status")

# Completion: region ids, features, events, and arguments of commands. Several are listed, and the line comes back after them.
with Backend(regions={3: REGION, 17: REGION, 19: REGION}).listen() as backend:
    person = Person("connect", backend.path, "--device", "fs", NO_COLOR="1")
    person.wait_for("ready ")
    person.wait_for("> ")
    for typed, shown in (
        ("rea\t", "read "),
        ("1\t\t", "17  19  "),
        ("\x15write 3\t", "write 3 "),
        ("\x15features noti\t\x15features NOTIFICATION\t", "features NOTIFICATION"),
        ("\x15wait e\tdevi\t", "wait event device_status "),
        ("\x15expect tot\t", "expect total_mapped_bytes "),
        ("\x15push 0 o\t", "push 0 out "),
        ("\x15config r\t", "config read "),
        ("\x15help sta\t\t", "start  status  "),
        ("\x15nonsense x\t", "nonsense x"),
    ):
        person.complete(typed, shown)
    person.type("\x15quit\n")
    equal(person.end(), 0, "exit status")

# Files, for a device. A folder goes on after its slash.
there = folder()
os.mkdir(os.path.join(there, "images"))
for name in ("a-long-name", "other"):
    with open(os.path.join(there, "images", name), "wb") as file:
        file.write(pattern(PAGE))
person = Person("backend", os.path.join(there, "s"), "--region", "7:1M", NO_COLOR="1")
person.wait_for("> ")
person.complete("map \t", "map 7 ")
person.complete(f"0 4K {there}/im\t", "images/")
person.complete("a\t", "a-long-name ")
person.complete("r\t", "rw ")
person.complete("\x15map 7 0 4K mem\t", "memfd ")
person.type("\x15quit\n")
equal(person.end(), 0, "exit status")

# Names of requests, for a proxy, whose filters can be changed.
person = Person("proxy", "--listen", os.path.join(there, "p"), "--connect", os.path.join(there, "d"), NO_COLOR="1")
person.wait_for("> ")
person.complete("only shmem_\t\t", "SHMEM_MAP  SHMEM_UNMAP  ")
person.type("m\tchan\t\n")
person.wait_for("only SHMEM_MAP CHANNEL  except none")
person.type("except nonsense\n")
person.wait_for("no request is called nonsense")
person.type("quit\n")
equal(person.end(), 0, "exit status")
