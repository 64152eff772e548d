#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long a device waits for SHMEM_MAP: in a QEMU with the glue, and in QEMU 11.1, which has code of its own. Usage: scripts/guest-demo --maps

Two machines without a guest, whose driver is this script (qtest), each before a device that obeys (bench/in-qemu.c). All four processes share one
processor, which has no other work if this runs as root, and the two take turns. The mappings that are to be live are made before.
"""

import os
import statistics
import subprocess
import sys

from _qtest import Machine, VirtioDevice
from common.cases import ROOT, SCRATCH, STAGE, Process, until
from common.machine import emulator_of_sid, emulator_with_glue

LIVE = [int(word) for word in os.environ.get("VHUSHMEM_MAPS_LIVE", "64 1000 5000").split()]
ROUNDS = 7


class Side:
    """A device and the QEMU before it."""

    def __init__(self, name, program, emulator):
        self.name = name
        self.socket = SCRATCH / f"{name}.sock"
        self.device = Process(f"{name}-device", program, self.socket, "4096", stdin=subprocess.PIPE)
        self.device.listens(self.socket)
        driver = f"{emulator.filesystem}-pci,chardev=back"
        driver += ",virtio-id=26,num_vqs=1,config_size=0" if "test-device" in driver else ",tag=tag"
        self.qemu = Machine(
            name,
            *(*emulator.command, "-nodefaults", "-display", "none"),
            *("-machine", "q35,memory-backend=ram", "-m", "64M", "-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
            *("-chardev", f"socket,id=back,path={self.socket}", "-device", driver),
            environment=emulator.environment,
        )
        VirtioDevice(self.qemu).start()
        self.device.has_said("started")
        self.lines = 1

    def do(self, line):
        self.device.process.stdin.write(f"{line}\n".encode())
        self.device.process.stdin.flush()
        self.lines += 1
        until(lambda: len(self.device.text().splitlines()) >= self.lines or not self.device.is_alive, line, 3600)
        return self.device.text().splitlines()[self.lines - 1].split()

    def run_on(self, processors, policy):
        """On these processors, before all other work if it is SCHED_FIFO (as root)."""
        for process in (self.device, self.qemu):
            for task in os.listdir(f"/proc/{process.process.pid}/task"):
                os.sched_setaffinity(int(task), processors)
                if os.geteuid() == 0:
                    os.sched_setscheduler(int(task), policy, os.sched_param(policy == os.SCHED_FIFO))


def main():
    program = ROOT / "build/guest-demo/in-qemu"
    flags = ["-I", STAGE / "include", *subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True, check=True).stdout.split()]
    libraries = ["-L", STAGE / "lib", f"-Wl,-rpath,{STAGE / 'lib'}", "-lvhushmem", "-lglib-2.0"]
    subprocess.run(["cc", "-O2", *flags, ROOT / "bench/in-qemu.c", "-o", program, *libraries], check=True)
    sides = [Side("glue", program, emulator_with_glue(sys.argv[1])), Side("own", program, emulator_of_sid())]
    everywhere = os.sched_getaffinity(0)
    for live in LIVE:
        for side in sides:
            side.do(f"fill {live}")
        print(f"{live} mappings are live", flush=True)
        if "VHUSHMEM_MAPS_WAIT" in os.environ:
            sys.stdin.readline()  # until the machine is quiet
        for side in sides:
            side.run_on({max(everywhere)}, os.SCHED_FIFO)
        figures = {side.name: [] for side in sides}
        for _ in range(ROUNDS):
            for side in sides:
                count = 256 if side.name == "glue" else max(1, min(64, 20000 // live))
                words = side.do(f"time {count}")
                times = int(words[3]) / 1000, int(words[5]) / 1000
                figures[side.name].append((*times, sum(times)))
        for n, what in ((0, "map"), (1, "unmap"), (2, "both")):
            glue, own = (statistics.median(figure[n] for figure in figures[name]) for name in ("glue", "own"))
            ratio = statistics.median(o[n] / g[n] for g, o in zip(figures["glue"], figures["own"]))
            print(f"{live} live: {what} {glue:.1f} us with the glue, {own:.1f} us in QEMU 11.1: {ratio:.1f} x", flush=True)
        for side in sides:
            side.run_on(everywhere, os.SCHED_OTHER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
