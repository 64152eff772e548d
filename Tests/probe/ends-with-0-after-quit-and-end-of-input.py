# SPDX-License-Identifier: BSD-3-Clause
"""The exit status is 0 after quit and at the end of input, whatever is mapped. Earlier commands are answered first."""
from _probe import *

with together() as (backend, probe):
    backend.map(memfd(PAGE), 0, PAGE, rw=True)
    probe.event("map")
    probe.quit()
with together() as (backend, probe):
    backend.map(memfd(PAGE), 0, PAGE, rw=True)
    probe.event("map")
    probe.end_input()

# A last line without its newline is a command, too.
with together() as (backend, probe):
    probe.write("status\nquit")
    probe.process.stdin.close()
    has(is_answer(probe.answer()), command="status")
    has(is_answer(probe.answer()), command="quit")
    equal(probe.wait(), 0, "exit status")
    probe.said_all()

# The program ignores what follows quit.
with together() as (backend, probe):
    probe.write("quit\nstatus\nnonsense\n")
    has(is_answer(probe.answer()), command="quit")
    equal(probe.wait(), 0, "exit status")
    probe.said_all()

# Input that ends at once: the program still reports the handshake.
backend = Backend().listen()
with backend:
    status, output, errors = run("--socket", backend.path, "--json")
    equal((status, errors), (0, ""), "status and errors")
    has(json.loads(output), event="ready")

# Standard input that is closed, not just empty.
backend = Backend().listen()
with backend:
    closed = subprocess.run(
        ["sh", "-c", '"$0" --socket "$1" --json <&-', program(), backend.path],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    equal(closed.returncode, 0, "exit status")
    has(json.loads(closed.stdout), event="ready")
