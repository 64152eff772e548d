# SPDX-License-Identifier: BSD-3-Clause
"""The base of the scripts here: the tested QEMU, devices that share a folder, and the guest that mounts them."""

import collections
import hashlib
import os
import pathlib
import re
import signal

from common.cases import PATIENCE_S, SCRATCH, STAGE, Process, check, equal, need, socket_path, until
from common.machine import MODULES, Guest, chardev, emulator_of_sid, emulator_with_glue, initramfs

PROGRAMS = pathlib.Path(os.environ["VHUSHMEM_GUEST_PROGRAMS"])
IN_GUEST = ("mapped", "fsx", "fsstress", "posix")
CHUNK = 2 << 20
QEMU = os.environ.get("VHUSHMEM_GUEST_QEMU", "sid")
# QEMU 11.1 maps no range beyond the end of its file. So there the device offers DAX only for files of whole chunks.
BY_CHUNK = QEMU == "sid"
# Whether the QEMU survives when it touches a page that its file has lost.
SURVIVES = QEMU != "sid"
DAX = "-o dax=inode" if BY_CHUNK else "-o dax=always"
IS_LONG = "VHUSHMEM_TEST_LONG" in os.environ


def emulator():
    return emulator_of_sid() if QEMU == "sid" else emulator_with_glue(QEMU)


need("linux", *(["sid-qemu"] if QEMU == "sid" else []))
EMULATOR = emulator()


# ---- files ----


def content(size, seed):
    """Bytes without a pattern, the same for a seed."""
    return b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range((size + 31) // 32))[:size]


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stamped(pages, stamp):
    """Pages that each begin with a number."""
    return (stamp.to_bytes(8, "little") + bytes([stamp & 0xFF or 1]) * 4088) * pages


def folder(name):
    path = SCRATCH / name
    path.mkdir()
    return path


def programs(into, count):
    """Programs of a chunk each; number N prints SAYS00N. Each has more than one page, with the same code in each page."""
    plain = (PROGRAMS / "says").read_bytes()
    equal(plain.count(b"SAYS000"), 1, "places of the number")
    for n in range(count):
        path = into / f"says{n}"
        path.write_bytes(plain.replace(b"SAYS000", f"SAYS{n:03}".encode()).ljust(CHUNK, b"\0"))
        path.chmod(0o755)


# ---- devices ----


class Device(Process):
    """vhushmem-virtiofs with a folder. Its name is the tag."""

    def __init__(self, name, shared, *words, window="64M"):
        self.tag, self.socket, self.shared = name, socket_path(f"{name}.sock"), shared
        options = ["--socket-path", self.socket, "--shared-dir", shared, "--tag", name, "--window", window]
        options += ["--for-qemu"] if BY_CHUNK and EMULATOR.has_window else []
        super().__init__(name, STAGE / "bin/vhushmem-virtiofs", *options, *words)
        self.listens(self.socket)

    def option(self, bus=None, place="pci"):
        """QEMU's -device."""
        driver = {"pci": f"{EMULATOR.filesystem}-pci", "mmio": driver_of_mmio()}[place]
        words = [driver, f"chardev={self.tag}", f"id=fs-{self.tag}"]
        words += ["virtio-id=26", "num_vqs=2", "config_size=44"] if "test-device" in driver else [f"tag={self.tag}"]
        return ",".join(words + ([f"bus={bus}"] if bus else []))

    def words(self, bus=None, place="pci"):
        return [*chardev(self.tag, self.socket), "-device", self.option(bus, place)]

    def pids(self):
        """The process that waits, and the one that serves."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *(int(child) for child in children)]

    def counts(self):
        """How often the guest asked for each operation, and how many mappings are live."""
        told = len(re.findall(" now\n", self.text()))
        self.process.send_signal(signal.SIGUSR1)
        self.has_said(" now\n", told + 1)
        line = [line for line in self.text().splitlines() if line.endswith(" now")][-1]
        counts = collections.Counter({name: int(number) for name, number in re.findall(r"([A-Z0-9_]+) (\d+)", line)})
        counts["live"] = int(re.search(r"(\d+) now", line)[1])
        return counts

    def crash(self):
        """Kills both of its processes."""
        for pid in reversed(self.pids()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def begin_again(self):
        self.socket.unlink(missing_ok=True)
        self.start()
        self.listens(self.socket)


def driver_of_mmio():
    return EMULATOR.filesystem if "test-device" in EMULATOR.filesystem else f"{EMULATOR.filesystem}-device"


# ---- the guest ----


def packed():
    """The guest's initramfs, with the programs of this folder."""
    into = PROGRAMS / "initramfs"
    return initramfs(into, MODULES, {f"/bin/{name}": PROGRAMS / name for name in IN_GUEST})


def boot(*devices, name="qemu", before=(), more=(), **options):
    """A guest with these devices. It has not mounted their folders yet. QEMU gets `before` before them, and `more` after them."""
    options = {"memory": "256M", "initrd": packed(), "emulator": EMULATOR, **options}
    words = [word for device in devices for word in device.words()]
    return Guest(name, *before, *words, *more, **options).up()


def mount(guest, device, at="/mnt", options=None):
    guest.run(f"mkdir -p {at} && mount -t virtiofs {DAX if options is None else options} {device.tag} {at}")


def sums(guest, at="/mnt", how="sha256sum {}"):
    """What the guest reads from each file below a folder."""
    lines = guest.run(f"cd {at} && find . -type f -exec sh -c 'echo $({how.format('$0')}) = $0' {{}} \\; ; cd /").splitlines()
    return {line.split(" = ./")[1]: line.split()[0] for line in lines}


BY_LOADS = "mapped cat {} | sha256sum"


def right_sums(shared):
    return {str(path.relative_to(shared)): sum_of(path) for path in sorted(shared.rglob("*")) if path.is_file() and not path.is_symlink()}


def equal_sums(seen, wanted):
    wrong = [name for name in wanted if seen.get(name) != wanted[name]]
    check(not wrong and len(seen) == len(wanted), f"{len(wrong)} of {len(wanted)} files are wrong, {len(seen)} were read: {wrong[:5]}")


# ---- what processes have ----


def tree_of(pid):
    """The resources of a process: descriptors, mappings, and its own memory in KiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "mappings": len(maps),
        "memory": int(re.search(r"RssAnon:\s+(\d+)", status)[1]),
    }


def has_ended(guest):
    """Waits for the end of QEMU. Returns the signal that ended it, or 0."""
    until(lambda: not guest.is_alive, "QEMU ends")
    return max(0, -guest.process.returncode)


def is_well(guest):
    check(guest.is_alive, f"QEMU ended with {guest.process.poll()}: {guest.text()[-300:]}")
    equal(guest.run("echo as before"), "as before")
