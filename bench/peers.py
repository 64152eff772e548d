# SPDX-License-Identifier: BSD-3-Clause
"""Figures whose floor is another project's program, where a package of it was fetched (scripts/fetch-interop)."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from table import Row, compared

ROOT = pathlib.Path(__file__).resolve().parent.parent
FETCHED = pathlib.Path(os.environ.get("VHUSHMEM_BUILD_DIR", ROOT / "build")) / "interop"
PATIENCE = 30


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(f"bench: waited in vain until {what}")
        time.sleep(0.01)
    return found


def processors():
    """Two of those that this process may use, the first for who asks; None where there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


class Program:
    """One that runs beside, on one processor, until the block ends."""

    def __init__(self, processor, *command, **environment):
        self.log = tempfile.NamedTemporaryFile(mode="r", suffix=".log")
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=open(self.log.name, "w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            preexec_fn=None if processor is None else lambda: os.sched_setaffinity(0, {processor}),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def says(self, words, count=1):
        def heard():
            if self.process.poll() is not None:
                sys.exit(f"{self.text()}bench: {self.process.args[0]} has ended")
            return self.text().count(words) >= count

        until(heard, f"{self.process.args[0]} says {words!r}")

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()


def libvhost_user(name, build, cc, *others):
    """A device on libvhost-user, compiled with QEMU's sources and with `others`; None where these were not fetched."""
    found = sorted(FETCHED.parent.glob("qemu/source-*/subprojects/libvhost-user"))
    if not found:
        return None
    program, source = build / f"{name}-libvhost-user", ROOT / f"bench/{name}-libvhost-user.c"
    folder = found[-1]
    flags = ["-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", f"-I{folder}", f"-I{folder}/include"]
    cc("cc", *flags, source, folder / "libvhost-user.c", *others, "-o", program, "-pthread")
    return program


# ---- packets ----


class Testpmd(Program):
    """DPDK's, without huge pages and on one processor: it sends on what it receives."""

    def __init__(self, processor, name, device):
        root = FETCHED / "dpdk"
        folders = sorted({str(path.parent) for path in root.rglob("*.so.*") if "pmds-" not in str(path)})
        drivers = [next(root.rglob(f"librte_{driver}.so.*")) for driver in ("net_vhost", "net_virtio", "mempool_ring")]
        command = ["stdbuf", "-oL", root / "usr/bin/dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry"]
        command += [f"--lcores=0@{processor},1@{processor}", f"--file-prefix={name}"]
        command += [word for driver in drivers for word in ("-d", driver)]
        command += ["--vdev", device, "--", "-i", "--total-num-mbufs=4096"]
        super().__init__(processor, *command, LD_LIBRARY_PATH=":".join(folders))
        self.shown = 0
        self.says("testpmd> ")

    def received(self):
        self.say("show port stats all")
        self.shown += 1
        counts = until(lambda: found if len(found := re.findall(r"RX-packets: (\d+)", self.text())) >= self.shown else None, "testpmd counts")
        return int(counts[-1])


def packet_time(driver, seconds):
    """Nanoseconds for each packet that came back."""
    began, before = time.monotonic_ns(), driver.received()
    time.sleep(seconds)
    took, count = time.monotonic_ns() - began, driver.received() - before
    return took / max(1, count)


def loop_back(who, program, folder, seconds):
    """Who drives has one processor, the device the other."""
    one, other = processors()
    path = folder / f"{who}.sock"
    with contextlib.ExitStack() as stack:
        if program is None:
            device = stack.enter_context(Testpmd(other, "device", f"net_vhost0,iface={path},queues=1"))
            device.say("start")
        else:
            device = stack.enter_context(Program(other, program[0], path, *program[1:]))
        until(path.exists, f"{who} listens")
        driver = stack.enter_context(Testpmd(one, "driver", f"net_virtio_user0,path={path},queues=1,queue_size=256"))
        driver.say("start tx_first 4")
        time.sleep(0.5)
        return packet_time(driver, seconds)


def loopback(compiled, cc, build, quick):
    figure = "64-byte packet there and back, testpmd's virtio-user"
    if not (FETCHED / "dpdk").exists() or processors() is None:
        return [Row(figure, "µs", note="no DPDK" if processors() else "one processor")]
    limits = {
        "DPDK": ("DPDK's vhost, io mode", 1.0),
        "libvhost-user": ("libvhost-user, in bursts", 0.8),
        "single": ("libvhost-user, one at a time", 0.5),
        "floor": ("a device that checks nothing", 1.5),
        "empty": ("the driver alone", None),
    }
    programs = {"ours": [compiled("loopback")], "DPDK": None}
    if (other := libvhost_user("loopback", build, cc)) is not None:
        floor = libvhost_user("loopback-floor", build, cc)
        programs |= {"libvhost-user": [other], "single": [other, "single"], "floor": [floor], "empty": [floor, "empty"]}
    found = {who: [] for who in programs}
    with tempfile.TemporaryDirectory(prefix="vhushmem-bench-") as folder:
        for _ in range(3 if quick else 7):
            for who, values in found.items():
                values.append(loop_back(who, programs[who], pathlib.Path(folder), 1 if quick else 2))
                for path in pathlib.Path(folder).iterdir():
                    path.unlink()
    return [
        compared(f"{figure} (floor: {words})", limit, found["ours"], found[who])
        if who in found
        else Row(f"{figure} (floor: {words})", "µs", note="no sources of QEMU")
        for who, (words, limit) in limits.items()
    ]


# ---- reads ----


def storage_daemon(image):
    program = FETCHED / "qemu/usr/bin/qemu-storage-daemon"
    if not program.exists():
        return None
    export = "vhost-user-blk,id=export,node-name=file,addr.type=unix,writable=off,num-queues=1"
    return [program, "--blockdev", f"driver=file,node-name=file,read-only=on,filename={image}", "--export", f"{export},addr.path="]


def read_time(command, driver, depth, reads, path, image, one, other):
    """Nanoseconds of a read. Who drives has the first processor, the device the other."""
    if "--export" in command:
        words, libraries = [*command[:-1], f"{command[-1]}{path}"], sorted({str(so.parent) for so in (FETCHED / "qemu").rglob("*.so*")})
    else:
        words, libraries = [*command, path, image], []
    with Program(other, *words, **({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})):
        until(path.exists, f"{words[0]} listens")
        time.sleep(0.1)
        asks = ["taskset", "-c", one, driver, path, BLOCKS, depth, reads]
        done = subprocess.run([str(word) for word in asks], check=True, capture_output=True, text=True)
    path.unlink(missing_ok=True)
    return float(done.stdout.split()[1])


BLOCKS = 16384  # of 4 KiB


def reads(compiled, build, cc, quick):
    names = {(1, True): "4 KiB reads, one at a time", (1, False): "the same on two processors", (32, False): "4 KiB reads, 32 at a time"}
    if processors() is None:
        return [Row(f"{name}, against libvhost-user", "µs", note="one processor") for name in names.values()]
    rows = []
    with tempfile.TemporaryDirectory(prefix="vhushmem-bench-") as folder:
        image, path = pathlib.Path(folder) / "image", pathlib.Path(folder) / "read.sock"
        image.write_bytes(os.urandom(4096) * BLOCKS)
        driver, ours = compiled("read-driver"), [compiled("read-device")]
        other = libvhost_user("read-device", build, cc)
        peers = {"libvhost-user": other and [other], "qemu-storage-daemon": storage_daemon(image)}
        for peer, command in peers.items():
            for (depth, is_one), name in names.items():
                figure = f"{name}, against {peer}"
                if command is None:
                    rows.append(Row(figure, "µs", note=f"no {peer}"))
                    continue
                found = {"ours": [], "floor": []}
                one, other = processors()
                for _ in range(3 if quick else 9):
                    for who, values in found.items():
                        device = ours if who == "ours" else command
                        values.append(read_time(device, driver, depth, 20_000 if depth == 1 else 100_000, path, image, one, one if is_one else other))
                # One at a time on two, most of the time goes by until a processor that sleeps is awake. That is the same for all devices.
                rows.append(compared(figure, 1.0 if is_one or depth > 1 else None, found["ours"], found["floor"]))
    return rows


# ---- requests for mappings ----


def rust_vmm(samples, on_one_processor, environment, quick):
    """Both serve the same device, a request at a time and in a pipeline."""
    names = [f"SHMEM_{what}, floor: rust-vmm's vhost" for what in ("MAP", "UNMAP", "MAP pipelined, processor time")]
    crates = FETCHED / "sid-crates/usr/share/cargo/registry"
    if not crates.exists() or not shutil.which("cargo"):
        return [Row(name, "µs", note="no crates" if shutil.which("cargo") else "no cargo") for name in names]
    folder = FETCHED / "rust-vmm-bench"
    shutil.copytree(ROOT / "Tests/interop/rust-vmm", folder, dirs_exist_ok=True)
    command = ["cargo", "build", "--release", "--bin", "serve", "--offline", "--manifest-path", folder / "Cargo.toml"]
    command += ["--target-dir", folder / "target", "--config", 'source.crates-io.replace-with="debian"']
    command += ["--config", f"source.debian.directory={json.dumps(str(crates))}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stderr[-4000:]}bench: rust-vmm's front-end does not build")
    environment["RUST_VMM_SERVE"] = str(folder / "target/release/serve")
    with on_one_processor():
        found = samples("round-trip", *((41, 96) if quick else (151, 192)), 4096, "ours:64", "rust-vmm:64")
        piped = samples("pipelined", 21 if quick else 101, "rust-vmm")
    columns = [(found[f"ours-64-{what}"], found[f"rust-vmm-64-{what}"]) for what in ("map", "unmap")]
    columns.append((piped["ours"], piped["rust-vmm"]))
    return [compared(name, 1.0, *column) for name, column in zip(names, columns)]
