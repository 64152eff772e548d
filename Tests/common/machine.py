# SPDX-License-Identifier: BSD-3-Clause
"""QEMU with a small Linux guest: Debian's kernel, busybox and a shell on the serial line. Emulated, so it runs anywhere."""

import dataclasses
import fcntl
import json
import pathlib
import re
import socket
import subprocess
import time

from common.cases import FETCHED, PATIENCE_S, ROOT, SCRATCH, Process, check, equal, libraries, with_own_loader

MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "virtio-rng", "virtiofs")


@dataclasses.dataclass(frozen=True)
class Emulator:
    """A QEMU, and what it needs to run."""

    name: str
    command: list
    environment: dict
    # The device for virtiofs: its parameters, except the chardev and the tag. Its -pci form has a PCI function.
    filesystem: str = "vhost-user-fs"
    has_window: bool = False


def emulator_of_release():
    qemu = FETCHED / "qemu"
    shares = [word for part in ("qemu", "seabios") for word in ("-L", qemu / "usr/share" / part)]
    return Emulator("7.2 of Debian", [qemu / "usr/bin/qemu-system-x86_64", *shares], libraries("qemu"))


def emulator_of_sid():
    """It has shared memory regions, in the device that it has for tests of back-ends."""
    share = FETCHED / "sid-qemu/usr/share"
    command = with_own_loader("sid-qemu", "usr/bin/qemu-system-x86_64", "pulseaudio")
    command += ["-L", share / "qemu", "-L", share / "seabios"]
    modules = FETCHED / "sid-qemu/usr/lib/x86_64-linux-gnu/qemu"
    return Emulator("11.1 of Debian", command, {"QEMU_MODULE_DIR": str(modules)}, "vhost-user-test-device", True)


def emulator_with_glue(version):
    """Built by scripts/build-qemu: Debian's source with integrations/qemu, which gives vhost-user-fs-pci shared memory."""
    built = ROOT / "build" / f"qemu-{version}"
    return Emulator(f"{version} with the glue", [built / "qemu-system-x86_64", "-L", built / "pc-bios"], {}, has_window=True)


def in_order(folder, names):
    """The files of these modules and of those that they need. Each comes after those that it needs."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    found = {}

    def add(name):
        path = files.get(name.replace("-", "_"))
        if path is None or path in found:
            return  # built in, or there already
        needs = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for other in needs[1].decode().split(",") if needs and needs[1] else []:
            add(other)
        found[path] = True

    for name in names:
        add(name)
    return list(found)


def initramfs(packed=FETCHED / "initramfs", modules=MODULES, programs=None):
    """Packed once, and again when something in it is newer. `programs` maps paths in it to files."""
    init = ROOT / "Tests/common/init.sh"
    newest = max(path.stat().st_mtime for path in (init, pathlib.Path(__file__), *(programs or {}).values()))
    with packed.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if packed.exists() and packed.stat().st_mtime > newest:
            return packed
        files = in_order(FETCHED / "linux/lib/modules", modules)
        order = packed.with_suffix(".modules")
        order.write_text("".join(f"{path.name}\n" for path in files))
        pairs = {"/init": init, "/bin/busybox": FETCHED / "linux/bin/busybox", "/modules/order": order, **(programs or {})}
        pairs |= {f"/modules/{path.name}": path for path in files}
        made = packed.with_suffix(".part")
        subprocess.run([ROOT / "scripts/initramfs", made, *(f"{path}={file}" for path, file in pairs.items())], check=True)
        made.rename(packed)
    return packed


def kernel():
    return next((FETCHED / "linux/boot").glob("vmlinuz-*"))


COMMAND_LINE = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check"


class Qemu(Process):
    """A QEMU that obeys its monitor."""

    def __init__(self, name, *command, environment=None):
        self.events = []
        monitor = SCRATCH / f"{name}.qmp"
        super().__init__(name, *command, "-qmp", f"unix:{monitor},server=on,wait=off", environment=environment)
        self.socket = self.connect(monitor)
        self.rest = b""
        self.line()
        self.qmp("qmp_capabilities")

    def connect(self, path):
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                connected = socket.socket(socket.AF_UNIX)
                connected.connect(str(path))
                return connected
            except OSError:
                connected.close()
                check(self.is_alive, f"{self.name} ended with {self.process.poll()}: {self.text()[-500:]}")
                check(time.monotonic() < end, f"nobody listens at {path}")
                time.sleep(0.05)

    def line(self):
        self.socket.settimeout(PATIENCE_S)
        while b"\n" not in self.rest:
            came = self.socket.recv(65536)
            check(came, f"{self.name} is gone")
            self.rest += came
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command, **arguments):
        return self.ask(command, {name.replace("_", "-"): value for name, value in arguments.items()})

    def ask(self, command, arguments):
        """The same as qmp, with the arguments' names unchanged."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            said = self.line()
            if "event" in said:
                self.events.append(said)
            else:
                check("return" in said, f"{command}: {said}")
                return said["return"]

    def event(self, name, **data):
        """Waits for an event whose data includes this, and takes it."""
        while True:
            for event in self.events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self.events.remove(event)
                    return event
            said = self.line()
            if "event" in said:
                self.events.append(said)

    def quit(self):
        try:
            self.qmp("quit")
        except (OSError, AssertionError):
            pass
        self.process.wait(PATIENCE_S)


class Guest(Qemu):
    """A guest that boots from the kernel and the initramfs, or by firmware if it has its own `boot`."""

    def __init__(
        self,
        name,
        *devices,
        emulator=None,
        accelerator="tcg,thread=multi",
        memory="160M",
        processors=2,
        machine="q35",
        initrd=None,
        boot=None,
        append="",
        incoming=None,
    ):
        self.emulator = emulator or emulator_of_release()
        serial = SCRATCH / f"{name}.serial"
        command = [*self.emulator.command, "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-machine", f"{machine},memory-backend=ram", "-accel", accelerator]
        command += ["-cpu", "host" if accelerator == "kvm" else "max"]
        command += ["-smp", processors, "-m", memory, "-object", f"memory-backend-memfd,id=ram,size={memory},share=on"]
        command += boot or ["-kernel", kernel(), "-initrd", initrd or initramfs(), "-append", f"{COMMAND_LINE} {append}"]
        command += ["-chardev", f"socket,id=serial,path={serial},server=on,wait=off", "-serial", "chardev:serial", *devices]
        command += ["-incoming", incoming] if incoming else []
        self.said = ""
        self.count = 0
        super().__init__(name, *command, environment=self.emulator.environment)
        self.serial = self.connect(serial)

    def wait(self, pattern, patience=PATIENCE_S):
        """Waits until the guest prints something. Returns the output up to there."""
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.said)):
            self.serial.settimeout(max(0.1, end - time.monotonic()))
            try:
                came = self.serial.recv(65536)
            except TimeoutError:
                came = b""
            check(came, f"the guest does not say {pattern}: {self.said[-600:]}")
            self.said += came.decode("latin1")
        said, self.said = self.said[: match.end()], self.said[match.end() :]
        return said

    def up(self, patience=PATIENCE_S):
        self.wait("GUEST IS UP", patience)
        self.run("stty -echo; dmesg -n 1")
        return self

    def send(self, command):
        self.count += 1
        # The shell joins the two words, so an echo of the command does not match.
        self.serial.sendall(f'{command}; echo "DO""NE{self.count}=$?="\n'.encode())
        return self.count

    def finish(self, count, status=0):
        said = self.wait(rf"DONE{count}=(\d+)=")
        text, seen = re.match(rf"(?s)(.*)DONE{count}=(\d+)=$", said).groups()
        text = text.replace("\r", "").split("# ")[-1].strip()
        if status is not None:
            equal(int(seen), status, f"status of a command that said {text[-300:]}")
        return text

    def run(self, command, status=0):
        """Runs a command in the guest's shell. Returns what it printed."""
        return self.finish(self.send(command), status)


def chardev(identity, path, *more):
    return ["-chardev", ",".join((f"socket,id={identity},path={path}", *more))]
