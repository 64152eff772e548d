# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a device writes into the used ring, it can only break the queue. The program reports that, answers, and can start again."""
from _probe import *

SET_VRING_KICK, SET_VRING_NUM, ADD_MEM_REG = 12, 8, 37
AVAIL, USED = 4096, 8192
U16 = struct.Struct("<H")


def used(index, *entries):
    """A used ring with this index."""
    return struct.pack("<HH", 0, index & 0xFFFF) + b"".join(struct.pack("<II", *entry) for entry in entries)


def bad_rings():
    yield "an index that nothing was asked for", used(2, (0, 0), (0, 0))
    yield "an index that went back", used(-1, (0, 0))
    yield "a request that it does not have", used(1, (1, 0))
    yield "a request beyond the table", used(1, (64, 0))
    yield "a request beyond anything", used(1, (0xFFFFFFFF, 0xFFFFFFFF))
    yield "twice the same", used(2, (0, 0), (0, 0))


class Ring(Backend):
    """A back-end that has the guest's memory and the call descriptor."""

    def _take(self, request, flags, payload, fds):
        if request == ADD_MEM_REG:
            self.memory = mmap.mmap(fds[0], 1 << 20)
        elif request == SET_VRING_CALL and fds:
            self.call = fds[0]
        super()._take(request, flags, payload, fds)

    def say(self, ring):
        self.memory[USED : USED + len(ring)] = ring
        os.write(self.call, U64.pack(1))


def until(probe, event):
    while True:
        record = probe.events.pop(0) if probe.events else probe.line()
        check(record is not None, "the end, and no", event)
        if record["event"] == event:
            return record


def started(backend, probe):
    probe.ready()
    is_answer(probe.ask("memory 1M"))
    is_answer(probe.ask("start"))
    probe.write("push 0 out 0102 in 8\n")
    while SET_VRING_KICK not in backend.requests or U16.unpack(backend.memory[AVAIL + 2 : AVAIL + 4])[0] == 0:
        threading.Event().wait(0.01)


for what, ring in bad_rings():
    with Ring().listen() as backend, Probe(backend.path) as probe:
        started(backend, probe)
        if what == "twice the same":
            backend.say(used(1, (0, 0)))
            is_answer(probe.answer())
        backend.say(ring)
        check(until(probe, "queue_broken")["message"], what)
        if what != "twice the same":
            has(is_error(probe.answer()), command="push")
        is_error(probe.ask("push 0 in 1"), "broken")
        is_error(probe.ask("kick 0"), "broken")
        is_answer(probe.ask("features"))
        probe.quit()

# More was written than there is room for: the program shows what fits. It does not read the table again, which the device has changed.
with Ring().listen() as backend, Probe(backend.path) as probe:
    started(backend, probe)
    backend.memory[0:1024] = b"\xff" * 1024
    backend.say(used(1, (0, 0xFFFFFFFF)))
    has(is_answer(probe.answer()), written=0xFFFFFFFF, hex="00" * 8)
    probe.write("push 0 in 4\n")
    while U16.unpack(backend.memory[AVAIL + 2 : AVAIL + 4])[0] == 1:
        threading.Event().wait(0.01)
    backend.say(used(2, (0, 0), (0, 4)))
    has(is_answer(probe.answer()), written=4)
    probe.quit()
