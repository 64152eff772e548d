# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's testpmd, without huge pages: it sends on what it receives."""

import os
import re
import subprocess

from _interop import FETCHED, Process, until


class Testpmd(Process):
    def __init__(self, name, device):
        root = FETCHED / "dpdk"
        folders = sorted({path.parent for path in root.rglob("*.so.*") if "pmds-" not in str(path)})
        drivers = [next(root.rglob(f"librte_{driver}.so.*")) for driver in ("net_vhost", "net_virtio", "mempool_ring")]
        # Its lines must be visible while it runs.
        command = ["stdbuf", "-oL", root / "usr/bin/dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf"]
        command += ["--no-telemetry", "--lcores=0@0,1@0"]
        command += [word for driver in drivers for word in ("-d", driver)]
        command += ["--vdev", device, "--", "-i", "--total-num-mbufs=2048"]
        libraries = {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders)}
        super().__init__(name, *command, environment=libraries, stdin=subprocess.PIPE)
        self.shown = 0

    def start(self):
        super().start()
        # It uses at most one processor, and others on this machine have work as well.
        os.setpriority(os.PRIO_PROCESS, self.process.pid, 5)

    def say(self, command):
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def received(self):
        """How many packets it has received."""
        self.say("show port stats all")
        self.shown += 1
        counts = until(lambda: found if len(found := re.findall(r"RX-packets: (\d+)", self.text())) >= self.shown else None, "its counters")
        return int(counts[-1])
