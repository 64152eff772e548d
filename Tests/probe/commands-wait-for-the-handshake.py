# SPDX-License-Identifier: BSD-3-Clause
"""Commands that need the device wait for the handshake, in order. help, quit and unknown commands do not wait."""
from _probe import *

with Backend(answers={GET_SHMEM_CONFIG: None}).listen() as backend, Probe(backend.path) as probe:
    is_answer(probe.ask("help"))
    is_error(probe.ask("nonsense"))
    is_error(probe.ask("read 0 0"))
    probe.write("status\nread 0 0 1\nwrite 0 0 00\nhelp\nwait map 1\nread 0 0 8\nquit\n")
    # The answer comes late, and everything works.
    while GET_SHMEM_CONFIG not in backend.requests:
        threading.Event().wait(0.01)
    send_message(backend.main, GET_SHMEM_CONFIG, VERSION | REPLY, backend.config())
    probe.ready()
    has(is_answer(probe.answer()), command="status", ready=True)
    has(is_error(probe.answer(), "not mapped"), command="read")
    has(is_error(probe.answer(), "not mapped"), command="write")
    has(is_answer(probe.answer()), command="help")
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    has(is_answer(probe.answer()), command="wait")
    has(is_answer(probe.answer()), command="read", hex=pattern(8).hex())
    has(is_answer(probe.answer()), command="quit")
    probe.event("map", result=0)
    equal(probe.wait(), 0, "exit status")

# quit needs no handshake.
with Backend(answers={GET_FEATURES: None}).listen() as backend, Probe(backend.path) as probe:
    probe.quit()

# Waiting commands do not run if there is no handshake.
with Backend(answers={GET_FEATURES: lambda backend, request: backend.close_main()}).listen() as backend:
    with Probe(backend.path) as probe:
        probe.write("status\nquit\n")
        equal(probe.wait(), 3, "exit status")
        probe.event("error")
        equal(probe.line(), None, "the line after the last")
