# SPDX-License-Identifier: BSD-3-Clause
"""With --json, standard output has JSON objects only, whatever is reported and logged. Without it, the program reports the same in
words."""
from _probe import *

# A count of regions that disagrees causes a warning on standard error.
config = struct.pack("=II256Q", 200, 0, REGION, *[0] * 255)
backend = Backend(answers={GET_SHMEM_CONFIG: config}).listen()
with backend, Probe(backend.path, environment={"G_MESSAGES_DEBUG": "all"}) as probe:
    probe.ready()
    backend.map(memfd(PAGE), 0, 4 * PAGE)
    probe.event("map")
    backend.map(memfd(PAGE), 0, PAGE)
    probe.event("map")
    is_error(probe.ask('read "0\\" 0 1'))
    backend.send(99)
    backend.answer(99)
    probe.event("other_request", request=99)
    is_answer(probe.ask("reset"))
    probe.event("reset")
    probe.quit()
    check(b"200" in probe.errors, "no warning")

backend = Backend(regions={0: REGION, 2: PAGE}).listen()
with backend:
    words = subprocess.Popen(
        [program(), "--socket", backend.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        line = words.stdout.readline()
        check(line.startswith("ready") and "SHMEM" in line, line)
        while backend.channel is None or GET_SHMEM_CONFIG not in backend.requests:
            threading.Event().wait(0.01)
        equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
        equal(backend.map(memfd(PAGE), 0, PAGE), -errno.EEXIST, "answer")
        # The commands come after the requests, so the reports of those come first.
        output, _ = words.communicate("read 0 0 8\nread 0 4096 8\nstatus\nquit\n", timeout=PATIENCE_S)
        equal(words.returncode, 0, "exit status")
    finally:
        words.kill()
        words.wait()
    for word in ("map ", "result 0", "result -17", "00000000  00 00 00 00 00 02 00 00                           |........|", "error ", "regions", "mappings", "counters"):
        check(word in output, word, "is missing in", output)
    check("{" not in output, output)
