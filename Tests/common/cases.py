# SPDX-License-Identifier: BSD-3-Clause
"""The base of scripts that run other programs: cases, the packages that they need, and programs that run along with them.

A script says what it needs, defines its cases and calls `run`. A case is a test: a function whose name says a fact. They run in order in
one process and may share what an earlier one started. A script that cannot have what it needs ends with status 77. The last line that it
printed is the reason.
"""

import array
import atexit
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(os.environ["VHUSHMEM_SOURCE"])
STAGE = pathlib.Path(os.environ["VHUSHMEM_STAGE"])
FETCHED = ROOT / "build" / "interop"
SCRATCH = pathlib.Path(os.environ["TMPDIR"])
# Only a failing test waits so long: emulated guests are slow, and the machine may be busy.
PATIENCE_S = int(os.environ.get("VHUSHMEM_INTEROP_PATIENCE_S", "400"))


class Skip(Exception):
    """The case cannot run here; the text says why."""


# ---- checks ----


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what) or "not so")


def equal(seen, wanted, *what):
    if seen != wanted:
        raise AssertionError(f"{' '.join(str(part) for part in what)}: {seen!r}, not {wanted!r}")


def until(condition, what, patience=PATIENCE_S):
    """Waits for a fact that no descriptor reports."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {patience} s")
        time.sleep(0.05)
    return value


# ---- cases ----

CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function

    return add


def run():
    """Runs the cases. After a failure, those that follow may lack what they need. They run nevertheless."""
    print(f"cases {len(CASES)}", flush=True)
    failed = False
    for name, function in CASES:
        try:
            function()
            print(f"case {name}: ok", flush=True)
        except Skip as reason:
            print(f"case {name}: skip ({reason})", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed = True
            print(traceback.format_exc())
            for process in Process.all:
                process.tell_log()
            print(f"case {name}: FAIL", flush=True)
    sys.exit(1 if failed else 0)


# ---- what is needed ----


def fetch(*things):
    """Fetches packages; `scripts/fetch-interop` knows their names. Raises Skip."""
    done = subprocess.run([ROOT / "scripts" / "fetch-interop", *things], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Skip(lines[-1] if lines else f"status {done.returncode}")


def need(*things):
    """The same, for packages without which the whole script cannot run."""
    try:
        fetch(*things)
    except Skip as reason:
        print(reason)
        sys.exit(77)


def libraries(thing):
    found = [str(folder) for part in ("usr/lib", "lib") for folder in (FETCHED / thing / part).glob("*-linux-gnu")]
    return {"LD_LIBRARY_PATH": ":".join(found)}


def with_own_loader(thing, program, *more):
    """A command that runs a program of another Debian release with the C library for which it was built."""
    root = FETCHED / thing
    folder = root / "usr/lib/x86_64-linux-gnu"
    path = ":".join(str(part) for part in (folder, *(folder / name for name in more)))
    return [folder / "ld-linux-x86-64.so.2", "--library-path", path, root / program]


# ---- processes ----


class Process:
    """A program that runs along with the script. It is killed at the end."""

    all = []

    def __init__(self, name, *command, environment=None, **more):
        self.name, self.command, self.more = name, [str(word) for word in command], more
        self.environment = {**os.environ, **(environment or {})}
        self.log = SCRATCH / f"{name}.log"
        self.start()
        Process.all.append(self)

    def start(self):
        with self.log.open("ab") as log:
            settings = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **self.more}
            self.process = subprocess.Popen(self.command, env=self.environment, cwd=SCRATCH, **settings)

    @property
    def is_alive(self):
        return self.process.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def tell_log(self):
        end = "runs" if self.is_alive else f"ended with {self.process.returncode}"
        print(f"--- {self.name} {end}")
        print("\n".join(self.text().splitlines()[-25:]))

    def has_said(self, pattern, count=1):
        """Waits until its output matches the pattern."""

        def seen():
            if len(re.findall(pattern, self.text())) >= count:
                return True
            check(self.is_alive, f"{self.name} ended with {self.process.returncode}")
            return False

        until(seen, f"{self.name} says {pattern}")

    def listens(self, path):
        until(lambda: os.path.exists(path) or not self.is_alive, f"{self.name} listens")
        check(self.is_alive, f"{self.name} ended with {self.process.returncode}")

    def kill(self, how=signal.SIGKILL):
        if self.is_alive:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


@atexit.register
def kill_all():
    for process in Process.all:
        if process.is_alive:
            process.kill()


def socket_path(name):
    return SCRATCH / name


def file_of(name, size, seed=1):
    """A file whose sectors all differ."""
    path = SCRATCH / name
    words = array.array("I", range(seed, seed + size // 4))
    path.write_bytes(words.tobytes())
    return path
