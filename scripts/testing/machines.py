"""Emulated machines that run tests: their contents, and their reports."""

import concurrent.futures
import os
import re
import threading

from testing.runner import AT_ONCE, FAIL, PASS, ROOT, SKIP, Result, run, verdict
from testing.sources import c_sources, c_tests_of, opt_out
from testing.suites import results_of

# Everything is emulated there and some thirty times slower. So loops are shorter and time limits longer by that factor.
SCALE = 20
# Seconds: PATIENCE_MS of the tests.
PATIENCE = 900
TEST_LIMIT = 2 * PATIENCE
LIMIT = 6 * 3600
DISK = 32 << 20


class Guest:
    """The initramfs that runs tests, and the names of the tests in it. It is built once, and booted on each kernel."""

    def __init__(self, group, kind, folder, needs=lambda: [], hostile=False, pack=()):
        """`needs` fetches what is missing and returns results if that fails; `pack` are further arguments of scripts/initramfs."""
        self.group, self.kind, self.folder, self.needs, self.pack = group, kind, folder, needs, pack
        self.folders = ("C", "hostile") if hostile else ("C",)
        self.names = []
        self.is_ready = threading.Event()

    def prepare(self):
        """A job, the first of the group."""
        try:
            return self.needs() or self.build()
        finally:
            self.is_ready.set()

    def build(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        init = self.folder / "init"
        status, log = run([*self.kind.compiler_in_c, "-static", "-Wall", "-Wextra", "-Werror", "-o", init, ROOT / "Tests/kernels/init.c"])
        if status != 0:
            return [Result(FAIL, "init", detail="does not build", log=log)]
        results = self.kind.build_peers()
        peers = {f"/peers/{source.stem}": self.kind.peer(source) for source in c_sources("C/peers")}
        reasons = {source: opt_out(source, self.group) for folder in self.folders for source in c_tests_of(folder)}
        results += [Result(SKIP, source.stem, detail=reason) for source, reason in reasons.items() if reason]
        wanted = [source for source, reason in reasons.items() if not reason]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            logs = list(pool.map(lambda source: self.kind.compile(source, self.kind.program(source)), wanted))
        results += [Result(FAIL, source.stem, detail="does not build", log=log) for source, log in zip(wanted, logs) if log is not None]
        tests = {f"{source.parent.name}/{source.stem}": source for source, log in zip(wanted, logs) if log is None}
        environment = {"PATH": "/", "G_SLICE": "always-malloc", "VHUSHMEM_PEERS": "/peers"}
        environment |= {"VHUSHMEM_TEST_SCALE": SCALE, "VHUSHMEM_TEST_PATIENCE": PATIENCE}
        plan = [f"set {name}={value}" for name, value in environment.items()]
        # A hostile program has many cases.
        plan += [f"run {TEST_LIMIT * (1 if name.startswith('C/') else 5)} {name} /tests/{name}" for name in tests]
        (self.folder / "plan").write_text("".join(line + "\n" for line in plan))
        files = {f"/tests/{name}": self.kind.program(source) for name, source in tests.items()}
        files |= peers | {"/init": init, "/plan": self.folder / "plan"}
        pack = [ROOT / "scripts" / "initramfs", *self.pack, self.folder / "initramfs", *(f"{path}={file}" for path, file in files.items())]
        status, log = run(pack, time_limit=120)
        if status != 0:
            return [*results, Result(FAIL, "initramfs", detail=f"status {status}", log=log)]
        self.names = list(tests)
        return results


def with_disk(machine, file):
    """The machine with a small file system on a disk, which tests may fill, if the tools to make one are there. Returns (command, log)."""
    with file.open("wb") as disk:
        disk.truncate(DISK)
    status, log = run(["mkfs.ext4", "-q", file], {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})
    if status != 0:
        return machine, log
    return [*machine, "-drive", f"file={file},format=raw,if=none,id=disk,cache=unsafe", "-device", "nvme,drive=disk,serial=1"], log


def boot(machine, environment, report, console):
    """Runs a guest whose serial ports are these files. Returns what it reported, and what its kernel said."""
    for file in (report, console):
        file.unlink(missing_ok=True)
    machine, log = with_disk(machine, report.with_suffix(".disk"))
    log += run(machine, environment, time_limit=LIMIT)[1]
    said = [file.read_text(errors="replace") if file.exists() else "" for file in (report, console)]
    return said[0], log + said[1]


def results(version, names, said, console):
    """Results of the tests that the guest was to run. Tests/kernels/init.c describes its report."""
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
    if not release:
        return [Result(FAIL, f"{version}: boots", detail=release, log=console)]
    all_results = [Result(PASS, f"{version}: boots", detail=release)]
    for name in names:
        folder, stem = name.split("/")
        log, label = logs.get(name, ""), f"{version}: {stem if folder == 'C' else name}"
        if name not in ended:
            detail = "the guest ended in it" if name == current else "not run"
            all_results.append(Result(FAIL, label, detail=detail, log=log + console if name == current else ""))
        elif folder == "hostile":
            all_results += results_of(label, ended[name][0], log)
        else:
            status, seconds = ended[name]
            outcome, detail = verdict(status, log)
            all_results.append(Result(outcome, label, seconds, detail, log))
    return all_results
