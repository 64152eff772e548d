"""The C tests on other kernels, each booted in an emulated machine. docs/testing.md describes them."""

import concurrent.futures
import functools
import os
import platform
import re
import shutil
import threading

from testing.kinds import RELEASE
from testing.runner import AT_ONCE, BUILD, FAIL, PASS, ROOT, SKIP, Result, run, verdict
from testing.sources import c_sources, c_tests_of, opt_out

VERSIONS = ("5.10", "6.1")
# Everything is emulated there, some thirty times slower: loops are as much shorter, time limits longer.
SCALE = 20
TEST_LIMIT = 120
LIMIT = 2400
DISK = 32 << 20
FOLDER = BUILD / "kernels"


def fetch(what):
    """Sees to it that build/kernels has it. If not, returns the reason as that of a skipped test."""
    status, log = run([ROOT / "scripts" / "fetch-kernels", what], time_limit=600)
    lines = log.strip().splitlines()
    return [] if status == 0 else [Result(SKIP, f"fetch {what}", detail=lines[-1] if lines else f"status {status}")]


def qemu():
    """A command, and what it needs in its environment."""
    installed = shutil.which("qemu-system-x86_64")
    if installed:
        return [installed], {}
    unpacked = BUILD / "kernels" / "qemu"
    libraries = [str(folder) for part in ("usr/lib", "lib") for folder in (unpacked / part).glob("*-linux-gnu")]
    firmware = [word for part in ("qemu", "seabios") for word in ("-L", unpacked / "usr/share" / part)]
    return [unpacked / "usr/bin/qemu-system-x86_64", *firmware], {"LD_LIBRARY_PATH": ":".join(libraries)}


class Guest:
    """The initramfs that runs the C tests, and the names of the tests in it. It is built once, and booted on each kernel."""

    def __init__(self):
        self.names = []
        self.is_ready = threading.Event()

    def prepare(self):
        """A job, the first of the group."""
        try:
            return fetch("qemu") or self.build()
        finally:
            self.is_ready.set()

    def build(self):
        init = FOLDER / "init"
        status, log = run(["cc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", init, ROOT / "Tests/kernels/init.c"])
        if status != 0:
            return [Result(FAIL, "init", detail="does not build", log=log)]
        results = RELEASE.build_peers()
        peers = {f"/peers/{source.stem}": RELEASE.peer(source) for source in c_sources("C/peers")}
        reasons = {source: opt_out(source, "kernels") for source in c_tests_of("C")}
        results += [Result(SKIP, source.stem, detail=reason) for source, reason in reasons.items() if reason]
        wanted = [source for source, reason in reasons.items() if not reason]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            logs = list(pool.map(lambda source: RELEASE.compile(source, RELEASE.program(source)), wanted))
        results += [Result(FAIL, source.stem, detail="does not build", log=log) for source, log in zip(wanted, logs) if log is not None]
        tests = {source.stem: RELEASE.program(source) for source, log in zip(wanted, logs) if log is None}
        environment = {"PATH": "/", "G_SLICE": "always-malloc", "VHUSHMEM_PEERS": "/peers", "VHUSHMEM_TEST_SCALE": SCALE}
        plan = [f"set {name}={value}" for name, value in environment.items()]
        plan += [f"run {TEST_LIMIT} {name} /tests/{name}" for name in tests]
        (FOLDER / "plan").write_text("".join(line + "\n" for line in plan))
        files = {f"/tests/{name}": program for name, program in tests.items()}
        files |= peers | {"/init": init, "/plan": FOLDER / "plan"}
        pack = [ROOT / "scripts" / "initramfs", FOLDER / "initramfs", *(f"{path}={file}" for path, file in files.items())]
        status, log = run(pack, time_limit=120)
        if status != 0:
            return [*results, Result(FAIL, "initramfs", detail=f"status {status}", log=log)]
        self.names = list(tests)
        return results

    def tests_on(self, version):
        """A job: boots one kernel, and has a result for each test."""
        self.is_ready.wait()
        if not self.names:
            return []
        return fetch(version) or report(version, self.names, *boot(version))


def boot(version):
    """Runs the guest on one kernel. Returns what it reported, and what its kernel said."""
    report, console = FOLDER / f"{version}.report", FOLDER / f"{version}.console"
    for file in (report, console):
        file.unlink(missing_ok=True)
    command, environment = qemu()
    image = next((FOLDER / version / "boot").glob("vmlinuz-*"))
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg,thread=multi"]
    command += ["-cpu", "max", "-smp", "2", "-m", "2048", "-kernel", image, "-initrd", FOLDER / "initramfs"]
    command += ["-append", "console=ttyS0 quiet panic=-1 tsc=reliable", "-serial", f"file:{console}", "-serial", f"file:{report}"]
    # A small file system on a disk, which tests may fill.
    disk = FOLDER / f"{version}.disk"
    with disk.open("wb") as file:
        file.truncate(DISK)
    status, log = run(["mkfs.ext4", "-q", disk], {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})
    if status == 0:
        command += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "nvme,drive=disk,serial=1"]
    log += run(command, environment, time_limit=LIMIT)[1]
    said = [file.read_text(errors="replace") if file.exists() else "" for file in (report, console)]
    return said[0], log + said[1]


def report(version, names, said, console):
    """A result for each test that the guest was to run. What it says is described in Tests/kernels/init.c."""
    logs, ended, current, release = {}, {}, "", ""
    for line in said.splitlines():
        if line.startswith("| "):
            logs[current] = logs.get(current, "") + line.removeprefix("| ") + "\n"
        elif match := re.match(r"kernel (\S+)$", line):
            release = match[1]
        elif match := re.match(r"begin (\S+)$", line):
            current = match[1]
        elif match := re.match(r"end (\S+) (\d+|slow) (\d+)$", line):
            ended[match[1]] = (None if match[2] == "slow" else int(match[2]), int(match[3]) / 10)
    if not release.startswith(f"{version}."):
        return [Result(FAIL, f"{version}: boots", detail=release, log=console)]
    results = [Result(PASS, f"{version}: boots", detail=release)]
    for name in names:
        log = logs.get(name, "")
        if name in ended:
            status, seconds = ended[name]
            outcome, detail = verdict(status, log)
            results.append(Result(outcome, f"{version}: {name}", seconds, detail, log))
        elif name == current:
            results.append(Result(FAIL, f"{version}: {name}", detail="the guest ended in it", log=log + console))
        else:
            results.append(Result(FAIL, f"{version}: {name}", detail="not run"))
    return results


def kernels():
    if platform.machine() != "x86_64":
        return [lambda: [Result(SKIP, "kernels", detail="they are booted on x86_64 only")]]
    # For whoever looks for the reason of a failure: one kernel only.
    versions = os.environ.get("VHUSHMEM_TEST_KERNELS", " ".join(VERSIONS)).split()
    guest = Guest()
    return [guest.prepare, *(functools.partial(guest.tests_on, version) for version in versions)]
