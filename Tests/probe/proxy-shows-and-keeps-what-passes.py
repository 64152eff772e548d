# SPDX-License-Identifier: BSD-3-Clause
"""proxy stands between a VMM and a device. It reports and counts each message, follows mappings and filters. replay plays both sides."""
from _probe import *


def start(*arguments):
    return subprocess.Popen([program(), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_socket(process, path):
    while not os.path.exists(path):
        check(process.poll() is None, "it has ended: " + process.stderr.read().decode() if process.poll() is not None else "")
        threading.Event().wait(0.01)


def finish(process, text=""):
    output, errors = process.communicate(text.encode(), timeout=PATIENCE_S)
    return process.returncode, [json.loads(line) for line in output.decode().splitlines()], errors.decode()


DEVICE = ("backend", "--region", "1:1M", "--queues", "1", "--json", "--until-disconnect", "--listen")
DEVICE_SAYS = "wait ready 60\nmap 1 0 8K memfd rw\nmap 1 4K 4K memfd\nmap 1 64K 4K memfd\nunmap 1 64K 4K\nwait event request 60\ngive 0 0102\n"
VMM_SAYS = "wait unmap 1 60\nwrite 1 8 cafe\nstart\npush 0 out 01 in 2\nexpect hex 0102\nstop\nquit\n"


def session(device_says=DEVICE_SAYS, vmm_says=VMM_SAYS, proxy_arguments=(), proxy_says=""):
    """A device, a proxy and a VMM. Returns what each of them said."""
    there = folder()
    device_path, proxy_path = os.path.join(there, "d"), os.path.join(there, "p")
    device = start(*DEVICE, device_path)
    wait_for_socket(device, device_path)
    proxy = start("proxy", "--listen", proxy_path, "--connect", device_path, "--json", "--until-disconnect", *proxy_arguments)
    wait_for_socket(proxy, proxy_path)
    device.stdin.write(device_says.encode())
    device.stdin.flush()
    proxy.stdin.write(proxy_says.encode())
    proxy.stdin.flush()
    vmm = start("connect", proxy_path, "--json")
    results = [finish(vmm, vmm_says), finish(proxy), finish(device)]
    for status, _, errors in results:
        equal(status, 0, "exit status", errors, results)
    equal(os.path.exists(proxy_path), False, "the proxy's socket")
    return [lines for _, lines, _ in results]


def wires(lines, **fields):
    return [line for line in lines if line["event"] == "wire" and all(line.get(name) == wanted for name, wanted in fields.items())]


vmm, proxy, device = session(proxy_arguments=["--summary"], proxy_says="wait map 2 60\nread 1 8 2\nstatus\n")
equal([line["result"] for line in proxy if line["event"] == "map"], [0, -errno.EEXIST, 0], "results of maps")
equal([line["result"] for line in proxy if line["event"] == "unmap"], [0], "results of unmaps")
# The kinds of descriptors, and how long an answer took.
equal(wires(proxy, name="SHMEM_MAP", reply=False)[0]["fd_kinds"], ["memfd:vhushmem-probe (deleted)"], "a file")
equal(wires(proxy, name="SET_VRING_KICK")[0]["fd_kinds"], ["eventfd"], "a kick")
equal(wires(proxy, name="SET_BACKEND_REQ_FD", reply=False)[0]["fd_kinds"], ["socket"], "the channel")
for line in wires(proxy, reply=True):
    check(line["round_trip_us"] >= 0 and line["since_us"] >= 0, line)
# The order is the wire's: a mapping comes after its answer, and an answer after its request.
events = [(line["event"], line.get("reply")) for line in proxy if line.get("name") == "SHMEM_MAP" or line["event"] == "map"]
equal(events, 3 * [("wire", False), ("map", None), ("wire", True)], "the order")
summary = proxy[-1]
equal(summary["event"], "summary", "the last line")
maps = [request for request in summary["requests"] if request["name"] == "SHMEM_MAP"]
has(maps[0], socket="channel", count=3, replies=3, failures=1)
check(0 <= maps[0]["p50_us"] <= maps[0]["p99_us"] <= maps[0]["max_us"], maps)
answers = [line for line in proxy if line["event"] == "answer"]
has(answers[1], command="read")
check("error" not in answers[1], answers)

# Filters.
_, proxy, _ = session(proxy_arguments=["--only", "shmem_*,SET_MEM*", "--except", "SHMEM_UNMAP"])
equal({line["name"] for line in wires(proxy)} - {"SET_MEM_TABLE"}, {"SHMEM_MAP"}, "names")
_, proxy, _ = session(proxy_arguments=["--only", "channel"])
equal({line["socket"] for line in wires(proxy)}, {"channel"}, "sockets")

# The messages are recorded. A replay of either side shows no difference.
file = os.path.join(folder(), "session.pcapng")
vmm, proxy, device = session(proxy_arguments=["--record", file, "--dump-wire"])
count = len(wires(proxy))
path = os.path.join(folder(), "s")
replayed = start("replay", file, "--listen", path, "--json")
wait_for_socket(replayed, path)
# The replay ends with its last message. The VMM may see that before it quits.
vmm = start("connect", path, "--json", "--until-disconnect")
status, lines, errors = finish(vmm, "wait unmap 1 60\nstart\nstop\nquit\n")
equal(status, 0, "exit status of the VMM", lines, errors)
equal([line["result"] for line in lines if line["event"] == "map"], [0, -errno.EEXIST, 0], "results of maps")
status, lines, errors = finish(replayed)
has(lines[-1], event="replayed", differences=0, whole=True, messages=count)
equal(status, 0, "exit status", lines, errors)

path = os.path.join(folder(), "s")
device = start(*DEVICE, path)
wait_for_socket(device, path)
device.stdin.write(DEVICE_SAYS.split("wait event")[0].encode())
device.stdin.flush()
status, lines, errors = finish(start("replay", file, "--connect", path, "--json"))
check(lines, errors)
has(lines[-1], event="replayed", whole=True, messages=count, differences=1)
# The content of the rings is not recorded, so the device has served nothing: only that differs.
has(lines[0], event="difference", name="GET_VRING_BASE", recorded={"queue": 0, "number": 1})
equal(status, 1, "exit status", lines, errors)
equal(finish(device)[0], 0, "exit status of the device")

# A replay reports the differences of another device.
path = os.path.join(folder(), "s")
other = start("backend", "--region", "1:2M", "--json", "--until-disconnect", "--listen", path)
wait_for_socket(other, path)
status, lines, errors = finish(start("replay", file, "--connect", path, "--json", "--for", "60"))
equal(status, 1, "exit status", lines, errors)
has(lines[0], event="difference", name="GET_SHMEM_CONFIG", reply=True, what="the payload differs")
equal((lines[0]["recorded"]["regions"], lines[0]["seen"]["regions"]), ([{"shmid": 1, "size": 1 << 20}], [{"shmid": 1, "size": 2 << 20}]), "sizes")
other.kill()
other.communicate()

# A replay that waits obeys signals and --for, and leaves no socket behind.
for arguments, how in (([], signal.SIGINT), ([], signal.SIGTERM), (["--for", "0.2"], None)):
    path = os.path.join(folder(), "s")
    replayed = start("replay", file, "--listen", path, "--json", *arguments)
    wait_for_socket(replayed, path) if how is not None else None
    replayed.send_signal(how) if how is not None else None
    status, lines, errors = finish(replayed)
    equal((status, lines, os.path.exists(path)), (3, [], False), "exit status, lines and socket", errors)
# So does a replay whose other side has nothing to say, or reads nothing.
for arguments in (["--for", "0.3"], []):
    path = os.path.join(folder(), "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(path)
        silent.listen(1)
        replayed = start("replay", file, "--connect", path, "--json", *arguments)
        silent.settimeout(PATIENCE_S)
        there, _ = silent.accept()
        replayed.send_signal(signal.SIGTERM) if not arguments else None
        status, lines, errors = finish(replayed)
        there.close()
    equal(status, 1, "exit status", lines, errors)
    has(lines[-1], event="replayed", whole=False)

# Files that are no captures.
with open(file, "rb") as source:
    capture = source.read()
for bad in (b"", b"x" * 100, capture[:-1], capture[:40], capture[:28] + b"\xff" * 8 + capture[36:], capture[:-4] + b"\0\0\0\0"):
    with open(file, "wb") as target:
        target.write(bad)
    status, output, errors = run("replay", file, "--connect", "nobody")
    equal(status, 2, "exit status", len(bad), output, errors)
equal(run("replay", "/nonexistent", "--connect", "nobody")[0], 2, "exit status")

# Nobody is there. A proxy lives on, and takes the next VMM.
there = folder()
proxy_path, device_path = os.path.join(there, "p"), os.path.join(there, "d")
proxy = start("proxy", "--listen", proxy_path, "--connect", device_path, "--json")
wait_for_socket(proxy, proxy_path)
equal(run("connect", proxy_path)[0], 3, "exit status where nobody is")
for _ in range(2):
    device = start(*DEVICE, device_path)
    wait_for_socket(device, device_path)
    equal(run("connect", proxy_path)[0], 0, "exit status")
    equal(finish(device)[0], 0, "exit status of the device")
proxy.terminate()
status, lines, _ = finish(proxy)
equal(status, 0, "exit status")
equal(len([line for line in lines if line["event"] == "error"]), 1, "errors")
equal(len([line for line in lines if line["event"] == "disconnect"]), 2, "connections")
for arguments in ([], ["--listen", "a"], ["--connect", "a"], ["--listen", "", "--connect", "a"]):
    check(run("proxy", *arguments)[0] in (2, 3), arguments)
