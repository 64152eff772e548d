# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-Z stops the program and leaves the terminal as the shell wants it. Continued, the program edits the line again."""
import fcntl
import pty
import termios

from _probe import *

if b"libedit" not in subprocess.run(["ldd", program()], capture_output=True).stdout:
    print("the program was built without libedit")
    sys.exit(77)


def shell(arguments, report):
    """A session's leader, like a shell. It runs the program in a foreground group of its own. Does not return."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execve(program(), [program(), *arguments], {**os.environ, "TERM": "xterm", "LC_ALL": "C", "HOME": "/nonexistent"})
    os.write(report, f"{child}\n".encode())
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        os.write(report, b"stopped\n" if os.WIFSTOPPED(status) else f"ended {status}\n".encode())
        if not os.WIFSTOPPED(status):
            os._exit(0)


def edits():
    """Whether the editor controls the terminal: keys come one by one, without echo."""
    return termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO) == 0


def wait_for(*texts):
    """The output up to the last of these, which come in this order."""
    global seen
    for text in texts:
        while text not in seen:
            part = os.read(terminal, 65536)
            check(part, "the end, and no", text, seen[-500:])
            seen += part
        before, seen = seen.split(text, 1)
    return before


def read_on():
    """The output at the end fits into the pipe."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass


with Backend().listen() as backend:
    news, report = os.pipe()
    leader, terminal = pty.fork()
    if leader == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
        shell(["connect", backend.path], report)
    os.close(report)
    timer = threading.Timer(PATIENCE_S, os.kill, (leader, signal.SIGKILL))
    timer.start()
    news, seen = os.fdopen(news), b""
    child = int(news.readline())

    # The live view is there, and a line has been begun.
    wait_for(b"serving", b"64 KiB", b"> ")
    os.write(terminal, b"hel")
    wait_for(b"hel")
    check(edits(), "the editor has the terminal")
    os.write(terminal, b"\x1a")
    equal(news.readline(), "stopped\n", "what the shell is told")
    wait_for(b"\x1b[r")
    check(not edits(), "the shell has the terminal")

    # The line goes on where it was, and so does the view.
    os.kill(child, signal.SIGCONT)
    wait_for(b"\x1b[2J", b"serving")
    os.write(terminal, b"p quit\n")
    wait_for(b"quit                                     end")
    check(edits(), "the editor has the terminal")
    os.write(terminal, b"quit\n")
    threading.Thread(target=read_on, daemon=True).start()
    equal(news.readline(), "ended 0\n", "what the shell is told")
    timer.cancel()
    os.waitpid(leader, 0)
