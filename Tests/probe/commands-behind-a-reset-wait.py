# SPDX-License-Identifier: BSD-3-Clause
"""Commands are answered in order. Those after a reset are answered when the back-end has answered it, or when it no longer can."""
from _probe import *

with together(answers={RESET_DEVICE: None}) as (backend, probe):
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    probe.event("map", result=0)
    probe.write("reset\nstatus\nread 0 0 1\n")
    try:
        check(False, probe.line(0.3))
    except AssertionError as silence:
        check("no line" in str(silence), silence)
    send_message(backend.main, RESET_DEVICE, VERSION | REPLY, U64.pack(0))
    has(is_answer(probe.answer()), command="reset")
    probe.event("reset")
    has(is_answer(probe.answer()), command="status", mapped_bytes=0)
    has(is_error(probe.answer(), "not mapped"), command="read")

    probe.write("reset\nstatus\nquit\n")
    probe.process.stdin.close()
    while backend.requests.count(RESET_DEVICE) < 2:
        threading.Event().wait(0.01)
    backend.close()
    has(is_error(probe.answer()), command="reset")
    has(is_answer(probe.answer()), command="status", ready=False)
    has(is_answer(probe.answer()), command="quit")
    equal(probe.wait(), 3, "exit status")
    equal(probe.events[-1]["event"], "disconnect", probe.events)
