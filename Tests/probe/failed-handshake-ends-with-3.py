# SPDX-License-Identifier: BSD-3-Clause
"""Without a handshake the exit status is 3, and exactly one line says why."""
from _probe import *


def fails(path, *words):
    status, output, errors = run("connect", path, "--json")
    equal(status, 3, "exit status", output, errors)
    lines = output.splitlines()
    equal(len(lines), 1, "lines of", output)
    failure = has(json.loads(lines[0]), event="error")
    check(failure["result"] < 0 and failure["message"], failure)
    for word in words:
        check(word in failure["message"], word, "is missing in", failure)
    status, output, errors = run("connect", path)
    equal(status, 3, "exit status", output, errors)
    equal(output, "", "output")
    check(errors.startswith("vhushmem-probe: ") and errors.count("\n") == 1, errors)


def serves(count=2, **options):
    """A socket where so many back-ends are served, one after another. Nobody is left over."""
    path = os.path.join(folder(), "s")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(count)

    def serve():
        for _ in range(count):
            backend = Backend(**options)
            backend.main, _ = listener.accept()
            backend.path = path
            backend._start()
            backend.thread.join()
            backend.close()

    threading.Thread(target=serve, daemon=True).start()
    return path


def hang_up(backend, request):
    backend.close_main()


def nonsense(backend, request):
    backend.main.send(b"\xff" * 64)


def a_byte_too_many(backend, request):
    send_message(backend.main, request, VERSION | REPLY, bytes(2057))


def descriptors_too_many(backend, request):
    with open(os.devnull, "rb") as file:
        send_message(backend.main, request, VERSION | REPLY, U64.pack(VIRTIO_FEATURES), 200 * [file.fileno()])


def refuse(backend, request):
    send_message(backend.main, request, VERSION | REPLY, U64.pack(1))


nobody = os.path.join(folder(), "nobody")
fails(nobody)
open(nobody, "w").close()
fails(nobody)
stale = os.path.join(folder(), "stale")
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
    bound.bind(stale)
fails(stale)

for request in (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_BACKEND_REQ_FD, SET_OWNER, GET_SHMEM_CONFIG):
    fails(serves(answers={request: hang_up}), "closed")
    fails(serves(answers={request: nonsense}))
fails(serves(answers={GET_SHMEM_CONFIG: a_byte_too_many}), "2057")
fails(serves(answers={GET_FEATURES: descriptors_too_many}), "GET_FEATURES came with too many file descriptors")
fails(serves(answers={GET_SHMEM_CONFIG: bytes(2055)}), "2055")
fails(serves(answers={SET_OWNER: refuse}), "SET_OWNER")
fails(serves(answers={GET_SHMEM_CONFIG: struct.pack("=II256Q", 257, 0, *[PAGE] * 256)}), "257")
fails(serves(regions={4: PAGE + 1}), "4")
fails(serves(answers={GET_QUEUE_NUM: U64.pack(0)}))
