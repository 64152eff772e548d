"""Runs programs with a time limit, tells how they ended, and prints the results of groups in their order."""

import concurrent.futures
import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# scripts/test-build sets both, if meson has built the library elsewhere.
BUILD = pathlib.Path(os.environ.get("VHUSHMEM_BUILD_DIR", ROOT / "build"))
STAGE = pathlib.Path(os.environ.get("VHUSHMEM_STAGE_DIR", BUILD / "stage"))
AT_ONCE = 2
PASS, FAIL, SKIP = "pass", "FAIL", "skip"
SKIPPED_STATUS = 77


@dataclasses.dataclass
class Result:
    """The result of a test."""

    outcome: str
    name: str
    seconds: float = None
    detail: str = ""
    log: str = ""


def run(command, environment=None, time_limit=300):
    """Runs a command in a process group of its own. Returns (status, log); a status of None: it took too long."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        log, _ = process.communicate(timeout=time_limit)
        return process.returncode, log
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        log, _ = process.communicate()
        return None, f"{log}\nstopped after {time_limit} s"
    finally:
        # A process that a test leaves would disturb the next tests.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def verdict(status, log):
    """Returns (outcome, detail) of a program that ended so; a status of None: it took too long."""
    if status == 0:
        notes = [line.removeprefix("note: ") for line in log.splitlines() if line.startswith("note: ")]
        return PASS, notes[-1] if notes else ""
    if status == SKIPPED_STATUS:
        lines = log.strip().splitlines()
        return SKIP, lines[-1] if lines else ""
    return FAIL, "too slow" if status is None else f"status {status}"


@dataclasses.dataclass
class Test:
    """A job that runs one program. Any function without arguments that returns results is a job too."""

    name: str
    command: list
    environment: dict = dataclasses.field(default_factory=dict)
    time_limit: int = 300  # ends what hangs: a busy machine needs many times as long as an idle one
    not_run: str = ""  # the reason to skip it without a run
    build: object = None  # a function to call first; it returns the log of a failure, or None

    def __call__(self):
        if self.not_run:
            return [Result(SKIP, self.name, detail=self.not_run)]
        log = self.build() if self.build else None
        if log is not None:
            return [Result(FAIL, self.name, detail="does not build", log=log)]
        began = time.monotonic()
        # The name is short and private: paths of Unix sockets must be short.
        with tempfile.TemporaryDirectory(prefix="vhu-") as folder:
            # With --long, time-boxed tests run longer.
            patience = 10 if "VHUSHMEM_TEST_LONG" in os.environ else 1
            status, log = run(self.command, {**self.environment, "TMPDIR": folder}, self.time_limit * patience)
        outcome, detail = verdict(status, log)
        return [Result(outcome, self.name, time.monotonic() - began, detail, log)]


class Report:
    """Prints the result of each test, and the sums. A skipped test must give a reason."""

    def __init__(self):
        self.count = {PASS: 0, FAIL: 0, SKIP: 0}
        self.failures = []
        self.group = ""

    def heading(self, text):
        self.group = text
        print(f"\n== {text}", flush=True)

    def add(self, result):
        if result.outcome == SKIP and not result.detail:
            result = dataclasses.replace(result, outcome=FAIL, detail="skipped without a reason")
        self.count[result.outcome] += 1
        timing = "" if result.seconds is None else f"  {result.seconds:.1f} s"
        detail = f"  ({result.detail})" if result.detail else ""
        print(f"  {result.outcome}  {result.name}{timing}{detail}", flush=True)
        if result.outcome == FAIL:
            self.failures.append(f"{self.group}: {result.name}")
            print("".join(f"      | {line}\n" for line in result.log.splitlines()[-200:]), end="", flush=True)

    def finish(self):
        if self.failures:
            print("\n== failed")
            print("".join(f"  {name}\n" for name in self.failures), end="")
        print(f"\n{self.count[PASS]} passed, {self.count[FAIL]} failed, {self.count[SKIP]} skipped")
        return 1 if self.count[FAIL] or not self.count[PASS] else 0


class Group:
    """Jobs under a heading. `needs` are jobs of other groups, submitted before: if one fails, none of these runs."""

    def __init__(self, pool, title, jobs, needs=()):
        self.title = title
        self.needs = needs
        self.moments = []
        self.futures = [pool.submit(self.run, job) for job in jobs]

    def is_possible(self):
        return all(result.outcome == PASS for need in self.needs for result in need.result())

    def run(self, job):
        if not self.is_possible():
            return []
        self.moments.append(time.monotonic())
        results = job()
        self.moments.append(time.monotonic())
        return results

    def print(self, report):
        if not self.is_possible():
            return
        report.heading(self.title)
        for future in self.futures:
            for result in future.result():
                report.add(result)
        if self.moments:
            print(f"  ({max(self.moments) - min(self.moments):.0f} s)", flush=True)


class Pool(concurrent.futures.ThreadPoolExecutor):
    """Begins jobs in the order in which they were submitted, AT_ONCE at a time. A job may wait for those before it."""

    def __init__(self):
        super().__init__(AT_ONCE)

    def __exit__(self, kind, *_):
        # A person who interrupts the tests waits for the running ones, and not for the others.
        self.shutdown(cancel_futures=kind is not None)
