# SPDX-License-Identifier: BSD-3-Clause
"""Peers behind the proxy may send anything: it passes it on unchanged, does not grow, wait or end, and serves the next connection."""
import resource

import _schema
from _probe import *

there = folder()
proxy_path, device_path = os.path.join(there, "p"), os.path.join(there, "d")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(device_path)
listener.listen(4)
listener.settimeout(PATIENCE_S)
capture = os.path.join(there, "kept")
proxy = subprocess.Popen(
    [program(), "proxy", "--listen", proxy_path, "--connect", device_path, "--json", "--summary", "--record", capture],
    stdin=subprocess.PIPE,
    stdout=open(os.path.join(there, "told"), "wb"),
    stderr=subprocess.PIPE,
    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
)
while not os.path.exists(proxy_path):
    check(proxy.poll() is None, "it has ended")
    threading.Event().wait(0.01)


class Pair:
    """A connection through the proxy. The test has both of its ends."""

    def __init__(self):
        self.front = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.front.connect(proxy_path)
        self.back, _ = listener.accept()
        for end in (self.front, self.back):
            end.settimeout(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.front.close()
        self.back.close()


def descriptors():
    return len(os.listdir(f"/proc/{proxy.pid}/fd"))


def resident():
    return int(open(f"/proc/{proxy.pid}/statm").read().split()[1]) * PAGE


def settles(condition, what):
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        check(proxy.poll() is None, "the proxy ended with", proxy.returncode)
        threading.Event().wait(0.01)
    check(False, what)


def works():
    """A whole exchange, with a descriptor. Nothing is left of earlier ones."""
    with Pair() as pair:
        fd = memfd(PAGE)
        send_message(pair.front, GET_FEATURES, VERSION)
        equal(receive_message(pair.back)[0], GET_FEATURES, "request")
        send_message(pair.back, GET_FEATURES, VERSION | REPLY, U64.pack(5))
        equal(receive_message(pair.front)[2], U64.pack(5), "reply")
        send_message(pair.front, SET_VRING_CALL, VERSION, U64.pack(0), [fd])
        got = receive_message(pair.back)[3]
        equal(os.pread(got[0], 8, 0), pattern(8), "what the descriptor has")
        os.close(got[0])
        os.close(fd)
    settles(lambda: descriptors() <= before, f"{descriptors()} descriptors are open, and {before} were")


before = 256
works()
before = descriptors()
grown = resident()


def flood(end, data):
    try:
        end.sendall(data)
    except OSError:
        pass  # the other end is closed


# Bytes that are no messages, from either side, and beginnings of messages.
for garbage in (b"\xff" * 12, os.urandom(4096), HEADER.pack(1, 1, 0xFFFFFFFF) + bytes(100000), HEADER.pack(1, 1, 1 << 17) + bytes(1 << 17)):
    for sender, receiver in (("front", "back"), ("back", "front")):
        with Pair() as pair:
            threading.Thread(target=flood, args=(getattr(pair, sender), garbage), daemon=True).start()
            taken = b""
            while len(taken) < len(garbage) - 65536 or len(garbage) < 65536 and len(taken) < len(garbage):
                if len(garbage) == 4096 and len(taken) == 0:
                    getattr(pair, sender).shutdown(socket.SHUT_WR)
                part = getattr(pair, receiver).recv(1 << 20)
                if not part:
                    break
                taken += part
            check(garbage.startswith(taken), "other bytes come")
works()

# A message byte by byte.
with Pair() as pair:
    message = HEADER.pack(SET_FEATURES, VERSION, 8) + U64.pack(7)
    for byte in message:
        pair.front.send(bytes([byte]))
    equal(receive_message(pair.back)[:3], (SET_FEATURES, VERSION, U64.pack(7)), "a message in pieces")
    pair.front.send(message[:-1])
    pair.front.shutdown(socket.SHUT_WR)
    equal(receive_exactly(pair.back, 100)[0], message[:-1], "a message without its end")
works()

# The proxy passes on even more descriptors than a message may have: the receiver must refuse them.
with Pair() as pair:
    fds = [os.dup(0) for _ in range(30)]
    send_message(pair.front, SET_VRING_CALL, VERSION, U64.pack(0), fds)

    _, ancillary, _, _ = pair.back.recvmsg(20, socket.CMSG_SPACE(253 * 4))
    equal(len(ancillary[0][2]) // 4, 30, "descriptors")
    for fd in fds + list(array.array("i", ancillary[0][2])):
        os.close(fd)
works()

# A flood that the other side does not read stops at the capacity of the sockets. The proxy still takes commands.
with Pair() as pair:
    pair.front.setblocking(False)
    sent = 0
    message = HEADER.pack(SET_FEATURES, VERSION, 60000) + bytes(60000)
    quiet = 0
    while quiet < 20:
        try:
            sent += pair.front.send(message)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            threading.Event().wait(0.05)
        check(sent < 64 << 20, "the proxy takes all that comes")
works()

# Requests without answers, with descriptors, and unexpected answers.
with Pair() as pair:
    channel, theirs = socket.socketpair()
    send_message(pair.front, SET_BACKEND_REQ_FD, VERSION, b"", [theirs.fileno()])
    theirs.close()
    _, _, _, fds = receive_message(pair.back)
    far = socket.socket(fileno=fds[0])
    fd = memfd(PAGE)
    for i in range(2000):
        send_message(far, MAP, VERSION | NEED_REPLY, MMAP.pack(0, 0, i * PAGE, PAGE, 0), [fd])
        _, _, _, got = receive_message(channel)
        os.close(got[0])
    for i in range(2000):
        send_message(channel, UNMAP, VERSION | REPLY, U64.pack(1 << 63))
        receive_message(far)
    for unknown in range(3000):
        send_message(pair.front, 1000 + unknown, VERSION)
        receive_message(pair.back)
    os.close(fd)
    far.close()
    channel.close()
works()

# Channels without end. Beyond a bound the proxy passes them on without a look. It does the same with a channel that is no socket.
with Pair() as pair:
    kept = []
    for i in range(200):
        ours, theirs = socket.socketpair()
        send_message(pair.front, SET_BACKEND_REQ_FD, VERSION, b"", [theirs.fileno()])
        theirs.close()
        _, _, _, fds = receive_message(pair.back)
        far = socket.socket(fileno=fds[0])
        far.send(b"x" * 3)
        kept.append((ours, far))
    fd = memfd(PAGE, 9)
    send_message(pair.front, SET_BACKEND_REQ_FD, VERSION, b"", [fd])
    _, _, _, got = receive_message(pair.back)
    equal(os.pread(got[0], 8, 0), pattern(8, 9), "no socket")
    os.close(fd)
    os.close(got[0])
    for ours, far in kept:
        ours.settimeout(PATIENCE_S)
        far.shutdown(socket.SHUT_WR)
        equal(receive_exactly(ours, 3)[0], b"xxx", "messages on a channel")
        ours.close()
        far.close()
works()

# Sockets whose close lingers, since their peer reads nothing. The proxy does the last close, for messages that it has not even read.
inet = socket.create_server(("127.0.0.1", 0))
held = []
for _ in range(4):
    with Pair() as pair:
        send_message(pair.front, GET_FEATURES, VERSION)
        receive_message(pair.back)
        sender = socket.create_connection(inet.getsockname())
        held.append(inet.accept()[0])
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
        sender.setblocking(False)
        try:
            while sender.send(bytes(65536)):
                pass
        except BlockingIOError:
            pass
        proxy.send_signal(signal.SIGSTOP)
        send_message(pair.front, SET_VRING_CALL, VERSION, U64.pack(0), [sender.fileno()])
        sender.close()
        pair.back.close()
        proxy.send_signal(signal.SIGCONT)
    with Pair() as pair:
        send_message(pair.front, GET_FEATURES, VERSION)
        equal(receive_message(pair.back)[0], GET_FEATURES, "it goes on")
for end in held:
    end.close()
works()

# More descriptors than the process may have open: the connection ends with a sentence, and the next one works.
with Pair() as pair:
    fds = [os.dup(0) for _ in range(250)]
    for _ in range(3):
        try:
            send_message(pair.front, SET_VRING_CALL, VERSION, U64.pack(0), fds)
        except OSError:
            break
    equal(receive_exactly(pair.back, 100)[0], b"", "the result of a message with lost descriptors")
    for fd in fds:
        os.close(fd)
works()

# Two VMMs: the second waits for the first.
with Pair() as pair:
    second = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    second.connect(proxy_path)
    send_message(second, GET_FEATURES, VERSION)
    send_message(pair.front, SET_OWNER, VERSION)
    equal(receive_message(pair.back)[0], SET_OWNER, "the first one's")
back, _ = listener.accept()
equal(receive_message(back)[0], GET_FEATURES, "the second one's")
second.close()
back.close()
works()

# A channel that outlives its connection: the proxy passes its messages on and times them, but follows no mappings there.
with Pair() as pair:
    channel, theirs = socket.socketpair()
    send_message(pair.front, SET_BACKEND_REQ_FD, VERSION, b"", [theirs.fileno()])
    theirs.close()
    far = socket.socket(fileno=receive_message(pair.back)[3][0])
    fd = memfd(PAGE)
    send_message(far, MAP, VERSION | NEED_REPLY, MMAP.pack(0, 0, 0, PAGE, 0), [fd])
    os.close(receive_message(channel)[3][0])
    pair.back.close()
    equal(receive_exactly(pair.front, 1)[0], b"", "the connection")
    send_message(channel, MAP, VERSION | REPLY, U64.pack(0))
    equal(receive_message(far)[2], U64.pack(0), "an answer after the end of the connection")
    os.close(fd)
    far.close()
    channel.close()
works()

if "ASAN_OPTIONS" not in os.environ:
    check(resident() - grown < 48 << 20, f"it has grown by {resident() - grown} bytes")
proxy.terminate()
equal(proxy.wait(PATIENCE_S), 0, "exit status", proxy.stderr.read())
lines = [json.loads(line) for line in open(os.path.join(there, "told"))]
for line in lines:
    equal(_schema.fault_of_line(line), None, line)
messages = " ".join(line["message"] for line in lines if line["event"] == "error")
check("too many back-end channels" in messages and "descriptors of a message are lost" in messages, messages)
equal([line for line in lines if line["event"] == "map"], [], "maps")
equal([request["replies"] for request in lines[-1]["requests"] if request["name"] == "SHMEM_MAP"], [1], "answers to maps")
