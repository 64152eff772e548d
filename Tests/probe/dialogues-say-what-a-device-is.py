# SPDX-License-Identifier: BSD-3-Clause
"""The ready-made dialogues of virtio-rng, virtio-blk and virtio-fs show a device's answers, and name the fault in a wrong one."""
from _probe import *

FUSE_LOOKUP, FUSE_OPEN, FUSE_INIT, FUSE_SETUPMAPPING, FUSE_REMOVEMAPPING = 1, 14, 26, 48, 49
IN = struct.Struct("=IIQQIIII")
OUT = struct.Struct("=IiQ")


def steps(probe, count):
    found = []
    while len(found) < count:
        record = probe.line()
        check(record is not None and record["event"] != "answer", record, found)
        if record["event"] == "step":
            found.append(record)
    return found


def give(device, request, data=b""):
    is_answer(device.ask(f"give {request['chain']} {data.hex()}"))


# Random bytes, and a sector.
with Device("--region", "1:1M") as device, Probe(device.path) as probe:
    probe.ready()
    probe.write("virtio-rng 16\n")
    request = has(device.until("request"), queue=0, out=0)
    equal(request["in"], 16, "room")
    give(device, request, b"0123456789abcdef")
    has(steps(probe, 1)[0], name="entropy", hex=b"0123456789abcdef".hex())
    has(is_answer(probe.answer()), command="virtio-rng")

    probe.write("virtio-blk 3\n")
    request = has(device.until("request"), queue=0, hex=struct.pack("=IIQ", 0, 0, 3).hex())
    equal(request["in"], 513, "room")
    give(device, request, pattern(512) + b"\0")
    has(steps(probe, 1)[0], name="read", sector=3, status=0, hex=pattern(512).hex())
    has(is_answer(probe.answer()), command="virtio-blk")
    is_answer(probe.ask(f"expect hex {pattern(512)[:16].hex()}"))
    # Too little data, and a failure.
    probe.write("virtio-blk\n")
    give(device, device.until("request"), b"\0")
    is_error(probe.answer(), "1 bytes")
    probe.write("virtio-blk\n")
    give(device, device.until("request"), bytes(512) + b"\1")
    is_error(probe.answer(), "status 1")
    for command in ("virtio-blk x", "virtio-rng 0", "virtio-rng x"):
        is_error(probe.ask(command))
    is_error(probe.ask("virtio-fs name"), "--queues 2")
    has(is_answer(probe.ask("quit")), command="quit")


def serve(device, opcode, body=b"", error=0, unique=None):
    request = has(device.until("request"), queue=1)
    header = IN.unpack(bytes.fromhex(request["hex"])[: IN.size])
    equal((header[0], header[1]), (request["out"], opcode), "length and operation")
    give(device, request, OUT.pack(OUT.size + len(body), error, header[2] if unique is None else unique) + body)
    return bytes.fromhex(request["hex"])[IN.size :]


# A file of virtiofs, seen through the window.
path = os.path.join(folder(), "file")
with open(path, "wb") as file:
    file.write(pattern(6000))
entry = struct.pack("=QQQQIIQQ", 7, 0, 0, 0, 0, 0, 7, 6000) + bytes(128 - 56)
with Device("--region", "0:4M", "--queues", "2") as device, Probe(device.path, "--device", "fs", "--dax") as probe:
    probe.ready()
    probe.write("virtio-fs name\n")
    equal(serve(device, FUSE_INIT, struct.pack("=IIII", 7, 38, 0, 5) + bytes(48))[:8], struct.pack("=II", 7, 31), "INIT")
    equal(serve(device, FUSE_LOOKUP, entry), b"name\0", "LOOKUP")
    serve(device, FUSE_OPEN, struct.pack("=QII", 9, 0, 0))
    request = has(device.until("request"), queue=1)
    header = IN.unpack(bytes.fromhex(request["hex"])[: IN.size])
    equal((header[1], header[3]), (FUSE_SETUPMAPPING, 7), "operation and node")
    handle, offset, length, flags, at = struct.unpack("=QQQQQ", bytes.fromhex(request["hex"])[IN.size :])
    equal((handle, offset, length, flags, at), (9, 0, 8192, 2, 0), "SETUPMAPPING")
    is_answer(device.ask(f"map 0 0 8K {path}"))
    give(device, request, OUT.pack(OUT.size, 0, header[2]))
    equal(serve(device, FUSE_REMOVEMAPPING), struct.pack("=IQQ", 1, 0, 8192), "REMOVEMAPPING")
    said = steps(probe, 6)
    equal([step["name"] for step in said], ["INIT", "LOOKUP", "OPEN", "SETUPMAPPING", "window", "REMOVEMAPPING"], "steps")
    has(said[0], major=7, minor=38, flags=5)
    has(said[1], node=7, size=6000)
    has(said[4], shmid=0, hex=pattern(64).hex())
    has(is_answer(probe.answer()), command="virtio-fs")

    # A device's mistake ends the dialogue with a sentence.
    for answers, words in (
        ([(FUSE_INIT, b"", 0, None)], "another request, or has 16 bytes"),
        ([(FUSE_INIT, bytes(64), 0, 99)], "another request"),
        ([(FUSE_INIT, bytes(64), 0, None), (FUSE_LOOKUP, b"", -errno.ENOENT, None)], "LOOKUP: No such file"),
    ):
        probe.write("virtio-fs name\n")
        for opcode, body, error, unique in answers:
            serve(device, opcode, body, error, unique)
        is_error(probe.answer(), words)
    probe.write("virtio-fs name\n")
    device.until("request")
    kill(device.process)
    is_error(probe.answer())
    has(is_answer(probe.ask("quit")), command="quit")
    equal(probe.wait(), 3, "exit status")
