# SPDX-License-Identifier: BSD-3-Clause
"""On a terminal a proxy shows the mappings that pass through as bars, and its messages, over one connection and the next."""
import fcntl
import pty
import termios

from _probe import *

there = folder()
proxy_path, device_path = os.path.join(there, "p"), os.path.join(there, "d")
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
proxy = subprocess.Popen(
    [program(), "proxy", "--listen", proxy_path, "--connect", device_path, "--only", "SHMEM_*"],
    stdin=subprocess.PIPE,
    stdout=theirs,
    env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"},
)
os.close(theirs)
seen = ""


def wait_for(*texts):
    """All of these come, in any order, from now on."""
    global seen
    seen = ""
    timer = threading.Timer(PATIENCE_S, proxy.kill)
    timer.start()
    while not all(text in seen for text in texts):
        try:
            part = os.read(ours, 65536)
        except OSError:
            part = b""
        check(part, f"{texts} were not to be seen in {seen[-3000:]!r}")
        seen += part.decode()
    timer.cancel()


wait_for("waiting for a connection with shared memory", "0 maps, 0 unmaps, 0 refused")
for regions, bar in (({1: 16 * PAGE}, "1: 64 KiB, 4 KiB a cell"), ({2: 8 * PAGE}, "2: 32 KiB, 4 KiB a cell")):
    with Backend(regions=regions).listen(device_path) as backend:
        (shmid, size), fd = next(iter(regions.items())), memfd(4 * PAGE)
        vmm = subprocess.Popen([program(), "connect", proxy_path, "--json"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_for("handing on", bar, "." * (size // PAGE))
        equal(backend.map(fd, PAGE, 2 * PAGE, shmid=shmid), 0, "answer")
        equal(backend.map(fd, 4 * PAGE, PAGE, rw=True, shmid=shmid), 0, "answer")
        check(backend.map(fd, 4 * PAGE, PAGE, shmid=shmid) < 0, "an overlap")
        wait_for(".rr.W..." + "." * (size // PAGE - 8) + "\033")
        check(f"map    region {shmid}  0x2000 bytes at 0x1000, file 0x0, read-only" in seen, seen[-3000:])
        # Commands look at it, and messages scroll below it.
        proxy.stdin.write(f"read {shmid} 0x1000 4\n".encode())
        proxy.stdin.flush()
        wait_for("00001000  00 00 00 00")
        equal(backend.unmap(PAGE, 2 * PAGE, shmid=shmid), 0, "answer")
        wait_for("name SHMEM_UNMAP", "....W..." + "." * (size // PAGE - 8) + "\033")
        vmm.communicate(timeout=PATIENCE_S)
        os.close(fd)
        wait_for("waiting for the next connection")
    os.unlink(device_path)
check("4 maps, 2 unmaps, 2 refused" in seen, seen[-2000:])
# Narrow, too small, and large again: the view goes on.
for rows, columns, shown in ((40, 50, "-" * 49 + "\033"), (6, 30, "\033[r"), (40, 300, "-" * 299 + "\033"), (1, 1, "\033[r"), (17, 80, "-" * 79 + "\033")):
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    wait_for(shown)
proxy.stdin.write(b"quit\n")
proxy.stdin.flush()
wait_for("command quit")
equal(proxy.wait(PATIENCE_S), 0, "exit status")
os.close(ours)
