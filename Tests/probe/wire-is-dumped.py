# SPDX-License-Identifier: BSD-3-Clause
"""--dump-wire prints each message of both sockets, decoded, in both directions. The connection works as without it."""
from _probe import *


def until(probe, event, **fields):
    """The next line of this kind with these fields. Lines in between have their own tests."""
    while True:
        line = probe.line()
        check(line is not None, f"the end, and no {event} with {fields}")
        if line.get("event") == event and all(line.get(name) == wanted for name, wanted in fields.items()):
            return line


def wire(probe, **fields):
    return until(probe, "wire", **fields)


def talk(backend, probe):
    has(wire(probe, name="GET_FEATURES", reply=True), value=VIRTIO_FEATURES, size=8, fds=0, socket="main")
    has(wire(probe, name="SET_PROTOCOL_FEATURES"), value=backend.protocol_features, **{"from": "front-end"})
    has(wire(probe, name="SET_BACKEND_REQ_FD"), fds=1, size=0, flags=VERSION | NEED_REPLY)
    has(wire(probe, name="SET_VRING_CALL", reply=False), queue=0, has_fd=True, fds=1)
    event = wire(probe, name="GET_SHMEM_CONFIG", reply=True)
    has(event, nregions=1, regions=[{"shmid": 0, "size": REGION}], size=2056)
    until(probe, "ready")
    fd = memfd(2 * PAGE)
    equal(backend.map(fd, PAGE, PAGE, rw=True, fd_offset=PAGE), 0, "answer")
    event = wire(probe, name="SHMEM_MAP", reply=False)
    has(event, socket="channel", id=MAP, shmid=0, fd_offset=PAGE, shm_offset=PAGE, len=PAGE, rw=True, fds=1)
    has(wire(probe, name="SHMEM_MAP", reply=True), result=0, **{"from": "front-end"})
    check(backend.unmap(0, PAGE) < 0, "nothing is mapped there")
    has(wire(probe, name="SHMEM_UNMAP", reply=True), result=-errno.ENOENT)
    # A message of a wrong form is shown as bytes.
    backend.send(MAP, b"ab", [fd])
    backend.answer(MAP)
    has(wire(probe, id=MAP, reply=False), payload="6162", size=2)
    backend.send(99, b"\x01")
    backend.answer(99)
    has(wire(probe, id=99, reply=False), name="?", payload="01")
    probe.write(f"read 0 {PAGE} 8\n")
    answer = until(probe, "answer")
    equal(answer.get("hex"), pattern(2 * PAGE)[PAGE : PAGE + 8].hex(), "what is mapped")
    os.close(fd)


with Backend().listen() as backend:
    with Probe(backend.path, "--dump-wire") as probe:
        talk(backend, probe)
        probe.write("quit\n")
        until(probe, "answer")
        equal(probe.wait(), 0, "exit status")

# A wrong answer is shown whole. Nobody expects it, so the connection ends.
with Backend().listen() as backend:
    with Probe(backend.path, "--dump-wire") as probe:
        until(probe, "ready")
        send_message(backend.main, 3, VERSION | REPLY, U64.pack(1 << 32))  # to SET_OWNER
        has(wire(probe, name="SET_OWNER", reply=True, flags=VERSION | REPLY, value=1 << 32), size=8)
        until(probe, "disconnect")

path = os.path.join(folder(), "s")
with Probe(path, "--server", "--dump-wire") as probe, Backend().connect(path) as backend:
    talk(backend, probe)
    backend.close_channel()
    until(probe, "channel_lost")
    backend.close_main()
    until(probe, "disconnect")
    probe.write("quit\n")
    until(probe, "answer")
    equal(probe.wait(), 3, "exit status")

# A stale socket is replaced. A socket with a listener, and a file, are not.
stale = os.path.join(folder(), "stale")
left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
left.bind(stale)
left.listen(1)
status, out, _ = run("connect", stale, "--server", "--dump-wire", "--json")
equal(status, 3, "exit status where somebody listens")
check("98" in out or "in use" in out, out)
left.close()
with Probe(stale, "--server", "--dump-wire") as probe, Backend().connect(stale) as backend:
    until(probe, "ready")
    probe.write("quit\n")
    until(probe, "answer")
plain = os.path.join(folder(), "plain")
with open(plain, "w") as file:
    file.write("kept")
status, out, _ = run("connect", plain, "--server", "--dump-wire", "--json")
equal(status, 3, "exit status where a file is")
equal(open(plain).read(), "kept", "the file")

status, out, _ = run("connect", path, "--dump-wire", "--json")
equal(status, 3, "exit status without a back-end")
check('"error"' in out, out)
