# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of requests at once: the program answers and reports each, in order, and answers commands meanwhile."""
from _probe import *

COUNT = 2000

with together(regions={0: COUNT * PAGE}) as (backend, probe):
    fd = memfd(PAGE)
    received = []

    def receive():
        for i in range(2 * COUNT):
            received.append(backend.answer(MAP if i % 2 == 0 else UNMAP))

    # Nobody waits for an answer before the next request is sent.
    reader = threading.Thread(target=receive, daemon=True)
    reader.start()
    for i in range(COUNT):
        backend.send(MAP, MMAP.pack(0, 0, i * PAGE, PAGE, MAP_RW), [fd])
        backend.send(UNMAP, MMAP.pack(0, 0, (i if i % 2 == 0 else COUNT - 1) * PAGE, PAGE, 0))
        if i % 100 == 0:
            probe.write("status\n")
    reader.join(PATIENCE_S)
    check(not reader.is_alive(), f"{len(received)} answers")

    # Among the odd ones, every unmap except the last names an empty place.
    unmaps = [0 if i % 2 == 0 or i == COUNT - 1 else -errno.ENOENT for i in range(COUNT)]
    equal(received[0::2], [0] * COUNT, "answers to maps")
    equal(received[1::2], unmaps, "answers to unmaps")
    for _ in range(0, COUNT, 100):
        is_answer(probe.answer())
    for i in range(COUNT):
        probe.event("map", shm_offset=i * PAGE, result=0)
        probe.event("unmap", result=unmaps[i])
    counters = probe.status()["counters"]
    has(counters, maps=COUNT, unmaps=COUNT // 2 + 1, refused=COUNT // 2 - 1, total_mapped_bytes=COUNT * PAGE)
    equal(len(probe.status()["mappings"]), COUNT // 2 - 1, "live mappings")
    is_answer(probe.ask("reset"))
    probe.event("reset")
    has(probe.status(), mapped_bytes=0)
    probe.quit()

# Maps without need_reply, and one with it at the end.
with together(regions={0: COUNT * PAGE}) as (backend, probe):
    fd = memfd(PAGE)
    for i in range(COUNT):
        backend.send(MAP, MMAP.pack(0, 0, i * PAGE, PAGE, 0), [fd], VERSION | (NEED_REPLY if i == COUNT - 1 else 0))
    equal(backend.answer(MAP), 0, "the one answer")
    for i in range(COUNT):
        probe.event("map", shm_offset=i * PAGE, result=0)
    has(probe.status(), mapped_bytes=COUNT * PAGE)
    probe.quit()
