# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest in a QEMU of build/qemu-VERSION, with files of the host by vhushmem-virtiofs; and a shell in it."""

import os
import pathlib
import re
import select
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
STAGE = ROOT / "build/stage"
LINUX = ROOT / "build/interop/linux"
PATIENCE_S = 400
MODULES = ("virtio_pci", "virtiofs")


class Failure(Exception):
    pass


def modules_in_order(folder, names):
    """The files of these modules and of those that they need, each after what it needs."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    found = []

    def add(name):
        path = files.get(name.replace("-", "_"))
        if path is None or path in found:
            return  # built in, or there already
        needs = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for other in needs[1].decode().split(",") if needs and needs[1] else []:
            add(other)
        found.append(path)

    for name in names:
        add(name)
    return found


def make_initramfs(output, init, programs=(), modules=MODULES):
    """Packs busybox, `init`, `programs` (pairs of a path and a file) and modules of Debian's kernel. Nothing is done if all is packed."""
    pairs = {"/init": pathlib.Path(init), "/bin/busybox": LINUX / "bin/busybox"} | {path: pathlib.Path(file) for path, file in programs}
    newest = max(file.stat().st_mtime for file in pairs.values())
    if output.exists() and output.stat().st_mtime > newest:
        return
    found = modules_in_order(LINUX / "lib/modules", modules)
    order = output.with_suffix(".order")
    order.write_text("".join(f"{path.name}\n" for path in found))
    pairs |= {"/modules/order": order} | {f"/modules/{path.name}": path for path in found}
    made = output.with_suffix(".part")
    subprocess.run([ROOT / "scripts/initramfs", made, *(f"{path}={file}" for path, file in pairs.items())], check=True)
    made.rename(output)


class Device:
    """vhushmem-virtiofs at a socket, or another program that takes its options."""

    def __init__(self, folder, name, directory, *options, program=STAGE / "bin/vhushmem-virtiofs"):
        self.name = name
        self.socket = folder / f"{name}.sock"
        self.said = folder / f"{name}.log"
        self.socket.unlink(missing_ok=True)
        command = [program, "--socket-path", self.socket, "--shared-dir", directory, *options]
        with self.said.open("w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_S
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"{name} does not listen: {self.said.read_text()}")
            time.sleep(0.02)

    def words(self):
        """What QEMU is given for it."""
        return [
            "-chardev",
            f"socket,id={self.name},path={self.socket}",
            "-device",
            f"vhost-user-fs-pci,id=fs-{self.name},chardev={self.name},tag={self.name}",
        ]

    def requests(self, nth):
        """How many requests of each kind there were until the nth time that the guest unmounted it (--statistics)."""
        end = time.monotonic() + PATIENCE_S
        while True:
            lines = [line for line in self.said.read_text().splitlines() if " requests: " in line]
            if len(lines) >= nth:
                counts = {name: int(n) for name, n in re.findall(r"([A-Z]+\w*) (\d+)", lines[nth - 1])}
                counts["mappings"] = int(re.search(r"at most (\d+) mappings", lines[nth - 1])[1])
                return counts
            if time.monotonic() > end:
                raise Failure(f"{self.name} has not said how many requests there were")
            time.sleep(0.02)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)


class Guest:
    def __init__(self, folder, version, initramfs, devices, accelerator="tcg,thread=multi", memory="256M", more=()):
        built = ROOT / f"build/qemu-{version}"
        kernel = next((LINUX / "boot").glob("vmlinuz-*"))
        model = "host" if accelerator.startswith("kvm") else "max"
        command = [built / "qemu-system-x86_64", "-L", built / "pc-bios", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-machine", "q35,memory-backend=ram", "-accel", accelerator, "-cpu", model, "-smp", "2", "-m", memory]
        command += ["-object", f"memory-backend-memfd,id=ram,size={memory},share=on"]
        command += ["-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check"]
        for device in devices:
            command += device.words()
        serial = folder / "serial"
        monitor = folder / "monitor"
        for path in (serial, monitor):
            path.unlink(missing_ok=True)
        command += ["-chardev", f"socket,id=serial,path={serial},server=on,wait=off", "-serial", "chardev:serial"]
        command += ["-chardev", f"socket,id=monitor,path={monitor},server=on,wait=off", "-mon", "chardev=monitor,mode=control", *more]
        self.log = folder / "qemu.log"
        self.said = ""
        self.count = 0
        with self.log.open("w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.serial = self.connect(serial)

    def connect(self, path):
        end = time.monotonic() + PATIENCE_S
        while True:
            connected = socket.socket(socket.AF_UNIX)
            try:
                connected.connect(str(path))
                return connected
            except OSError:
                connected.close()
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"QEMU ended: {self.log.read_text()}")
            time.sleep(0.02)

    def wait(self, pattern, patience=PATIENCE_S):
        """Waits for the guest to say something. Returns what it said up to there."""
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.said)):
            ready, _, _ = select.select([self.serial], [], [], max(0, end - time.monotonic()))
            came = self.serial.recv(65536) if ready else b""
            if not came:
                raise Failure(f"the guest does not say {pattern}: {self.said[-600:]} {self.log.read_text()[-600:]}")
            self.said += came.decode(errors="replace")
        said, self.said = self.said[: match.end()], self.said[match.end() :]
        return said

    def up(self, patience=PATIENCE_S):
        self.wait("GUEST IS UP", patience)
        self.run("stty -echo")

    def run(self, command, may_fail=False):
        """A command of the guest's shell. Returns what it printed."""
        self.count += 1
        # The shell joins the two words, so that an echo of the command is not what is waited for.
        self.serial.sendall(f'{command}; echo "DO""NE{self.count}=$?="\n'.encode())
        text, status = re.match(rf"(?s)(.*)DONE{self.count}=(\d+)=$", self.wait(rf"DONE{self.count}=\d+=")).groups()
        text = text.replace("\r", "").split("# ")[-1].strip()
        if status != "0" and not may_fail:
            raise Failure(f"in the guest, {command!r} fails: {text}")
        return text

    def maps(self):
        """The lines of /proc/PID/maps."""
        return pathlib.Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()

    def cpu_seconds(self):
        """What the process has used of the host's processors."""
        return cpu_seconds(self.process.pid)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)


def cpu_seconds(pid):
    """Of a process and of those that it started: vhushmem-virtiofs and virtiofsd are two."""
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(process.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
