# SPDX-License-Identifier: BSD-3-Clause
"""With --server it listens, takes a back-end that connects, and leaves no socket behind."""
from _probe import *

for stale in (False, True):
    path = os.path.join(folder(), "s")
    if stale:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
            bound.bind(path)
    with Probe(path, "--server") as probe, Backend().connect(path) as backend:
        has(probe.ready(), regions=[{"shmid": 0, "size": REGION}])
        fd = memfd(PAGE)
        equal(backend.map(fd, PAGE, PAGE, rw=True), 0, "answer")
        probe.event("map", result=0)
        equal(probe.read(PAGE, PAGE), pattern(PAGE), "what was mapped")
        probe.quit()
        equal(os.path.exists(path), False, "the socket")

# It can be ended while it still waits.
path = os.path.join(folder(), "s")
with Probe(path, "--server") as probe:
    is_answer(probe.ask("help"))
    check(os.path.exists(path), "no socket")
    probe.quit()
    equal(os.path.exists(path), False, "the socket")

# If somebody listens there, or the path is something else, it stays unchanged.
with Backend().listen(os.path.join(folder(), "s")) as taken:
    status, output, errors = run("connect", taken.path, "--server", "--json")
    equal(status, 3, "exit status")
    has(json.loads(output), event="error", result=-errno.EADDRINUSE)
    check(os.path.exists(taken.path), "the socket is gone")
plain = os.path.join(folder(), "file")
open(plain, "w").close()
status, output, errors = run("connect", plain, "--server", "--json")
equal(status, 3, "exit status")
check(os.path.isfile(plain), "the file is gone")
