# SPDX-License-Identifier: BSD-3-Clause
"""Standard output that nobody reads stops nothing: requests are served, memory is bounded, and a count says how much was dropped."""
from _probe import *

COUNT = 80_000  # their lines are longer than the 8 MiB that may wait

backend = Backend().listen()
with backend:
    reading, writing = os.pipe()
    process = subprocess.Popen([program(), "connect", backend.path, "--json"], stdin=subprocess.PIPE, stdout=writing)
    os.close(writing)
    try:
        while backend.channel is None or GET_SHMEM_CONFIG not in backend.requests:
            threading.Event().wait(0.01)
        fd = memfd(PAGE)
        for i in range(COUNT):
            backend.send(MAP, MMAP.pack(0, 0, 0, PAGE, 0), [fd], VERSION)
            backend.send(UNMAP, MMAP.pack(0, 0, 0, PAGE, 0), flags=VERSION)
            if i % 200 == 199:
                equal(backend.unmap(0, PAGE), -errno.ENOENT, "answer")
        resident = int(open(f"/proc/{process.pid}/statm").read().split()[1]) * PAGE
        if "ASAN_OPTIONS" not in os.environ:
            check(resident < 64 << 20, f"{resident} bytes are resident")
        process.stdin.close()
        # Now somebody reads: whole lines come, and the missing ones are counted.
        lines, dropped = 0, 0
        with os.fdopen(reading, "rb") as output:
            for line in output:
                record = json.loads(line)
                if record["event"] == "dropped":
                    dropped += record["lines"]
                else:
                    lines += 1
        equal(process.wait(PATIENCE_S), 0, "exit status")
        check(dropped > 0, "nothing was dropped")
        equal(lines + dropped, 1 + 2 * COUNT + COUNT // 200, "lines and those that were dropped")
    finally:
        process.kill()
        process.wait()

# Nobody reads until the end either. The program ends nevertheless, and says that something was not written.
backend = Backend().listen()
with backend:
    reading, writing = os.pipe()
    process = subprocess.Popen([program(), "connect", backend.path, "--json"], stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    process.stdin.write(b"help\n" * 2000 + b"quit\n")
    process.stdin.close()
    equal(process.wait(PATIENCE_S), 1, "exit status")
    check(b"standard output" in process.stderr.read(), "a sentence")
    process.stderr.close()
    os.close(reading)
