# SPDX-License-Identifier: BSD-3-Clause
"""vhushmem-probe --socket PATH, the form from before there were subcommands, keeps its exit statuses: 0 after quit and at the end of
input, whatever became of the back-end and its regions; 1 without a handshake; and 1, 3 and 4 if a script asked for their reasons."""
from _probe import *


def start(path, text):
    done = subprocess.run([program(), "--socket", path, "--json"], input=text, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, [json.loads(line)["event"] for line in done.stdout.splitlines()]


def lost(**more):
    """A back-end that leaves after the handshake."""

    def leave(backend, request):
        send_message(backend.main, request, VERSION | REPLY, backend.config())
        backend.close_main()

    return Backend(answers={GET_SHMEM_CONFIG: leave}, **more).listen()


for text in ("", "status\n", "quit\n", "wait event disconnect 60\nread 0 0 1\nquit\n"):
    with lost() as backend:
        equal(start(backend.path, text)[0], 0, "exit status where the back-end has left", text)
    with Backend(regions={}).listen() as backend:
        equal(start(backend.path, text.replace("wait event disconnect 60\n", ""))[0], 0, "exit status without regions", text)
status, events = start(os.path.join(folder(), "nobody"), "status\n")
equal((status, events), (1, ["error"]), "without a handshake")
with Backend(answers={GET_FEATURES: lambda backend, request: backend.close_main()}).listen() as backend:
    equal(start(backend.path, ""), (1, ["error"]), "without a whole handshake")

# Newer options mean the same with and without subcommands.
with Backend().listen() as backend:
    equal(start(backend.path, "expect maps = 1\n")[0], 1, "an expectation that fails")
with lost() as backend:
    equal(start(backend.path, "wait map 1 60\n")[0], 3, "a wait that the end of the connection ends")
with Backend(regions={}).listen() as backend:
    equal(start(backend.path, "wait map 1 60\n")[0], 4, "a wait for maps where there are no regions")
