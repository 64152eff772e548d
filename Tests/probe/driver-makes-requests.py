# SPDX-License-Identifier: BSD-3-Clause
"""connect plays a driver and backend a device: requests go there and back, with configuration space, status, features, stop and reset."""
from _probe import *


def until_event(probe, event):
    return Device.until(probe, event)


with Device("--region", "1:16M", "--queues", "2", "--config-size", "16", "--features", "0x10000000") as device:
    with Probe(device.path, "--queues", "2") as probe:
        has(probe.ready(), regions=[{"shmid": 1, "size": 16 << 20}])
        names = device.until("ready")["protocol_features"]
        check({"SHMEM", "REPLY_ACK", "CONFIG"} <= set(names), names)

        # Before the start.
        for command in ("push 0 out 00", "kick 0", "stop"):
            is_error(probe.ask(command), "run")
        has(probe.ask("memory 1M"), size=1 << 20)
        for command in ("memory 0", "memory 4095", "memory x", "memory 65G"):
            is_error(probe.ask(command))
        has(probe.ask("features"), offered=["LOG_ALL", "INDIRECT_DESC", "PROTOCOL_FEATURES", "VERSION_1"], accepted=["VERSION_1"])
        has(probe.ask("features version_1 28"), accepted=["INDIRECT_DESC", "VERSION_1"])
        is_error(probe.ask("features NONSENSE"), "NONSENSE")
        is_error(probe.ask("features 5"), "0x20")
        for command in ("start 3", "start x", "start 0", "start 1 3", "start 1 65536", "start 2 32768"):
            is_error(probe.ask(command))
        is_answer(probe.ask("start 2 8"))
        is_error(probe.ask("start"), "already")
        equal(device.until("queue_started")["queue"], 0, "queue")

        # There and back, in two pieces each way.
        probe.write("push 1 out 0102 out 03 in 4 in 4K\n")
        request = has(device.until("request"), queue=1, out=3, hex="010203")
        equal(request["in"], 4 + 4096, "room")
        has(is_answer(device.ask(f"give {request['chain']} a1b2c3d4e5")), written=5)
        has(is_answer(probe.answer()), command="push", written=5, hex="a1b2c3d4e5")
        is_answer(probe.ask("expect hex a1b2"))

        # From a file, and later, with its own kick.
        path = os.path.join(folder(), "f")
        with open(path, "wb") as file:
            file.write(pattern(64))
        has(is_answer(probe.ask(f"push 0 out @{path} --later")), queue=0)
        is_answer(probe.ask("push 0 in 8 --later"))
        is_answer(probe.ask("kick 0"))
        has(device.until("request"), queue=0, hex=pattern(64).hex(), chain=0)
        request = device.until("request")
        is_answer(device.ask("give 0"))
        has(until_event(probe, "used"), queue=0, written=0, hex="")
        is_answer(device.ask(f"give {request['chain']} ff"))
        has(until_event(probe, "used"), queue=0, written=1, hex="ff")

        # Wrong commands change nothing.
        for command in (
            "push 2 out 00",
            "push x out 00",
            "push 0 out",
            "push 0 out 0",
            "push 0 out zz",
            "push 0 in 0",
            "push 0 in 2M",
            "push 0 in 4 out 00",
            "push 0 --later",
            "push 0 out @/nonexistent/file",
            "push 0 up 00",
            "push 0 in 1M in 1M",
            "kick 2",
            "kick x",
            "memory 1M",
        ):
            is_error(probe.ask(command))
        is_error(device.ask("give 77"))
        is_error(device.ask("give 0 0"))

        # Configuration, status, requests in flight.
        is_answer(probe.ask("config write 4 01020304"))
        has(device.until("config_written"), offset=4, hex="01020304")
        has(is_answer(probe.ask("config read 0 8")), hex="0000000001020304")
        for command in ("config read 0 17", "config read x 1", "config read 0 x", "config write 0 x", "config copy 0 1"):
            is_error(probe.ask(command))
        has(is_answer(probe.ask("device-status")), value=15, bits=["ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK"])
        is_error(probe.ask("device-status 256"))
        is_answer(device.ask("config-changed"))
        until_event(probe, "config_change")

        # Mappings during a request, as a device makes them.
        is_answer(device.ask("map 1 0 64K memfd rw"))
        until_event(probe, "map")
        is_answer(probe.ask("write 1 4K 11"))
        is_error(device.ask("map 1 0 4K memfd"), "File exists")
        is_error(device.ask("map 1 0 4K /nonexistent/file"))
        is_answer(device.ask(f"map 1 1M 64 {path}"))
        equal(probe.read(1 << 20, 64, 1), pattern(64), "a file of the device's")
        is_answer(device.ask("unmap 1 1M 64"))

        # Stop, and start again with the old state. A reset ends requests.
        probe.write("push 0 in 1\n")
        device.until("request")
        has(is_answer(device.ask("give 0 00")), written=1)
        has(is_answer(probe.answer()), command="push")
        has(is_answer(probe.ask("stop")), bases=["3", "1"])
        is_answer(probe.ask("inflight"))
        is_answer(probe.ask("start"))
        is_answer(probe.ask("push 0 in 1 --later"))
        is_answer(probe.ask("reset"))
        is_error(probe.ask("kick 0"), "run")
        equal(probe.status()["mapped_bytes"], 0, "mapped bytes")
        has(is_answer(probe.ask("quit")), command="quit")
        equal(probe.wait(), 0, "exit status")
    device.until("disconnect")
    has(is_answer(device.ask("quit")), command="quit")
    equal(device.wait(), 0, "exit status")

# A device that goes away ends the request under way.
with Device("--region", "1:1M") as device:
    with Probe(device.path) as probe:
        probe.ready()
        is_answer(probe.ask("start"))
        probe.write("push 0 in 1\n")
        device.until("request")
        kill(device.process)
        has(is_error(probe.answer()), command="push")
        until_event(probe, "disconnect")
        has(is_answer(probe.ask("quit")), command="quit")
        equal(probe.wait(), 3, "exit status")

# A front-end that listens, and a device with options.
for arguments in (["--queues", "0"], ["--queues", "257"], ["--config-size", "65K"], ["--features", "x"], ["--region", "1:3"], []):
    where = ["--listen", os.path.join(folder(), "d")] if arguments else []
    equal(run("backend", *where, *arguments)[0], 2, "exit status of", arguments)
path = os.path.join(folder(), "s")
with Probe(path, "--server") as probe:
    while not os.path.exists(path):
        threading.Event().wait(0.01)
    # It may come a moment before somebody listens.
    while True:
        command = [program(), "backend", "--connect", path, "--region", "2:1M", "--until-disconnect"]
        device = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if device.stdout.readline():
            break
        device.wait()
    probe.ready()
    probe.quit()
    device.stdout.read()
    equal(device.wait(PATIENCE_S), 0, "exit status")
