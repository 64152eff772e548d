# SPDX-License-Identifier: BSD-3-Clause
"""What the demo stands on: the guest of the tests (Tests/common), in a QEMU of build/qemu-VERSION, with vhushmem-virtiofs as its device."""

import pathlib
import re

from common.cases import ROOT, SCRATCH, STAGE, Process
from common.machine import Guest, chardev, emulator_with_glue, initramfs

CACHE = ROOT / "build/guest-demo"
# What the classes of Tests/common raise.
FAILURES = (AssertionError, OSError)


class Device(Process):
    """vhushmem-virtiofs at a socket, or another program that takes its options. Its name is the tag."""

    def __init__(self, name, directory, *options, program=STAGE / "bin/vhushmem-virtiofs"):
        self.socket = SCRATCH / f"{name}.sock"
        super().__init__(name, program, "--socket-path", self.socket, "--shared-dir", directory, *options)
        self.listens(self.socket)

    def words(self):
        """What QEMU is given for it."""
        return [*chardev(self.name, self.socket), "-device", f"vhost-user-fs-pci,chardev={self.name},tag={self.name}"]

    def requests(self, nth):
        """How many requests of each kind there were until the nth time that the guest unmounted it (--statistics)."""
        self.has_said(" requests: ", nth)
        line = [line for line in self.text().splitlines() if " requests: " in line][nth - 1]
        counts = {name: int(n) for name, n in re.findall(r"([A-Z]+\w*) (\d+)", line)}
        counts["mappings"] = int(re.search(r"at most (\d+) mappings", line)[1])
        return counts


def start(version, devices, accelerator, memory="256M"):
    """A guest that begins to boot."""
    packed = initramfs(CACHE / "initramfs", ("virtio_pci", "virtiofs"), {"/bin/reader": CACHE / "reader"})
    words = [word for device in devices for word in device.words()]
    return Guest("qemu", *words, emulator=emulator_with_glue(version), memory=memory, initrd=packed, accelerator=accelerator)


def accelerator_of_before():
    """The one by which the demo booted Linux; None: it has not yet."""
    kept = CACHE / "accelerator"
    return kept.read_text() if kept.exists() else None


def maps_of(guest):
    """The lines of /proc/PID/maps."""
    return pathlib.Path(f"/proc/{guest.process.pid}/maps").read_text().splitlines()
