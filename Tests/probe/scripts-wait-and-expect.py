# SPDX-License-Identifier: BSD-3-Clause
"""A script on standard input waits and expects. The exit status says how it ended: 0, 1, 3 or 4. --for and --until-disconnect end it."""
from _probe import *


def script(path, text, *arguments):
    done = subprocess.run([program(), "connect", path, "--json", *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def answers(lines):
    return [line for line in lines if line["event"] == "answer"]


def maps_later(backend, count=1):
    """Maps pages when the handshake is over."""

    def run():
        while GET_SHMEM_CONFIG not in backend.requests:
            threading.Event().wait(0.01)
        for i in range(count):
            backend.map(memfd(PAGE), i * PAGE, PAGE)

    threading.Thread(target=run, daemon=True).start()


with Backend().listen() as backend:
    maps_later(backend, 2)
    wanted = pattern(8).hex()
    text = (
        f"wait ready 60\nwait map 2 60\nexpect maps = 2\nexpect mapped_bytes = 8K\nread 0 4K 8\nexpect hex {wanted}\nexpect ok\n"
        "read 0 3M 1\nexpect error beyond\nsleep 0.01\nreset\nwait event reset 60\nexpect mappings = 0\nexpect regions >= 1\n"
    )
    status, lines = script(backend.path, text)
    equal(status, 0, "exit status", lines)
    equal([a["command"] for a in answers(lines) if "error" in a], ["read"], "errors")

# Expectations that fail.
for text in ("expect maps = 1\n", "read 0 0 1\nexpect ok\n", "status\nexpect error x\n", "wait map 1 0.01\n", "wait event nonsense 0\n"):
    with Backend().listen() as backend:
        status, lines = script(backend.path, text)
        equal(status, 1, "exit status", text, lines)
        is_error(answers(lines)[-1])

# A command that cannot be understood gets an error answer. It is no failed expectation.
with Backend().listen() as backend:
    status, lines = script(backend.path, "wait\nwait x\nwait map\nwait map x\nwait ready x\nwait ready 1 1\nsleep\nsleep x\nexpect\n")
    equal(status, 0, "exit status", lines)
    for answer in answers(lines):
        is_error(answer)

# A killed device, and one that has no shared memory.
with Backend(answers={GET_SHMEM_CONFIG: lambda b, r: (send_message(b.main, r, VERSION | REPLY, b.config()), b.close_main(), None)[2]}).listen() as backend:
    status, lines = script(backend.path, "wait map 1 60\n")
    equal(status, 3, "exit status", lines)
with Backend(answers={GET_SHMEM_CONFIG: lambda b, r: (send_message(b.main, r, VERSION | REPLY, b.config()), b.close_main(), None)[2]}).listen() as backend:
    status, lines = script(backend.path, "wait event disconnect 60\n")
    equal(status, 0, "exit status of a script that waits for the end", lines)
with Backend(regions={}).listen() as backend:
    status, lines = script(backend.path, "wait map 1 60\n")
    equal(status, 4, "exit status", lines)
    is_error(answers(lines)[-1], "no shared memory")
with Backend(shmem=None).listen() as backend:
    equal(script(backend.path, "")[0], 4, "exit status")

# The end of standard input does not end these.
with Backend().listen() as backend:
    equal(script(backend.path, "status\n", "--for", "0.2")[0], 0, "exit status")
with Backend(answers={GET_SHMEM_CONFIG: lambda b, r: (send_message(b.main, r, VERSION | REPLY, b.config()), b.close_main(), None)[2]}).listen() as backend:
    status, lines = script(backend.path, "", "--until-disconnect")
    equal((status, lines[-1]["event"]), (0, "disconnect"), "exit status and last event")
with Backend().listen() as backend:
    closed = subprocess.run(["sh", "-c", '"$0" connect "$1" --json --for 0.2 <&-', program(), backend.path], capture_output=True, timeout=PATIENCE_S)
    equal(closed.returncode, 0, "exit status with standard input closed")
for value in ("0", "x", "-1", "1e400", "inf", "nan"):
    equal(run("connect", "s", "--for", value)[0], 2, "exit status of --for", value)
