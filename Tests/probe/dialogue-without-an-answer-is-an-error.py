# SPDX-License-Identifier: BSD-3-Clause
"""A dialogue whose device does not answer ends with an error. A later answer is an event."""
import time

from _probe import *

# A timer of whole seconds may ring a quarter of a second early. At intervals of an eighth, one of these runs meets that.
RUNS, APART_S = 8, 0.125

devices = [Device() for _ in range(RUNS)]
probes = [Probe(device.path) for device in devices]
for device, probe in zip(devices, probes):
    probe.ready()
for probe in probes:
    probe.write("virtio-rng 4\n")
    time.sleep(APART_S)
for device, probe in zip(devices, probes):
    chain = device.until("request")["chain"]
    is_error(probe.answer(), "entropy", "no answer in 10 seconds")
    equal(probe.events, [], "events")
    has(is_answer(device.ask(f"give {chain} 01020304")), written=4)
    has(Device.until(probe, "used"), hex="01020304", written=4)
    probe.quit()
    device.events.clear()
    has(is_answer(device.ask("quit")), command="quit")

# The program's own end is not a missing answer.
with Device() as device, Probe(device.path, "--for", "3") as probe:
    probe.write("virtio-rng 4\n")
    is_error(probe.answer(), "the program ends")
    equal(probe.wait(), 0, "exit status")
