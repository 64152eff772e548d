# SPDX-License-Identifier: BSD-3-Clause
"""With --kvm the regions have places in a guest: each is one slot, or has one for each mapping (--strategy slots). All else is the same."""
from _probe import *

if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    status, _, errors = run("--socket", os.path.join(folder(), "s"), "--kvm")
    equal(status, 2, errors)
    check("--kvm" in errors, errors)
    print("/dev/kvm cannot be opened")
    sys.exit(77)

for strategy in ("window", "slots"):
    backend = Backend(regions={0: REGION, 7: 4 * PAGE}).listen()
    with backend, Probe(backend.path, "--kvm", "--strategy", strategy) as probe:
        bar = probe.ready()["bar"]
        equal([place["guest_addr"] - place["offset"] for place in bar], [1 << 36, 1 << 36], "where the BAR is")
        fd = memfd(4 * PAGE)
        equal(backend.map(fd, PAGE, 2 * PAGE), 0, "answer")
        equal(backend.map(fd, 4 * PAGE, PAGE, rw=True), 0, "answer")
        check(backend.map(fd, 4 * PAGE, PAGE) < 0, "an overlap")
        equal(backend.map(fd, 0, 4 * PAGE, shmid=7), 0, "answer")
        equal(probe.read(PAGE, 2 * PAGE), pattern(2 * PAGE), "what is mapped")
        equal(backend.unmap(PAGE, 2 * PAGE), 0, "answer")
        equal(backend.map(fd, PAGE, PAGE), 0, "answer")
        equal(backend.unmap(0, 4 * PAGE, shmid=7), 0, "answer")
        probe.ask("reset")
        equal(backend.map(fd, PAGE, 2 * PAGE), 0, "answer")
        os.close(fd)
        probe.ask("status")
        probe.events.clear()  # the events of maps have their own tests
        probe.quit()

# With a slot for each mapping, a map is refused when there are no more slots.
backend = Backend(regions={0: 600 * 2 * PAGE}).listen()
with backend, Probe(backend.path, "--kvm", "--strategy", "slots") as probe:
    probe.ready()
    fd = memfd(PAGE)
    answers = [backend.map(fd, 2 * page * PAGE, PAGE) for page in range(502)]
    equal(answers, [0] * 500 + [-errno.ENOSPC] * 2, "answers")
    equal(len(probe.ask("status")["mappings"]), 500, "mappings")
    equal(backend.unmap(0, PAGE), 0, "answer")
    equal(backend.map(fd, 1001 * PAGE, PAGE), 0, "answer")
    os.close(fd)
    probe.ask("status")
    probe.events.clear()  # the events of maps have their own tests
    probe.quit()
