# SPDX-License-Identifier: BSD-3-Clause
"""While the handshake is not done, commands are answered: with errors, but for quit."""
from _probe import *

with Backend(answers={GET_SHMEM_CONFIG: None}).listen() as backend, Probe(backend.path) as probe:
    for command in ("read 0 0 1", "write 0 0 00", "status", "reset"):
        has(is_error(probe.ask(command), "handshake"), command=command.split()[0])
    is_error(probe.ask("nonsense"))
    # The answer comes late, and all is well.
    while GET_SHMEM_CONFIG not in backend.requests:
        threading.Event().wait(0.01)
    send_message(backend.main, GET_SHMEM_CONFIG, VERSION | REPLY, backend.config())
    probe.ready()
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    probe.event("map", result=0)
    probe.quit()

with Backend(answers={GET_FEATURES: None}).listen() as backend, Probe(backend.path) as probe:
    probe.quit()
