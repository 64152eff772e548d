"""A Linux guest that reads a host's files by loads, in QEMU before vhushmem-virtiofs. Tests/guest/README.md has the table."""

import functools
import os
import platform
import sys
import tempfile
import threading
import time

from testing import suites
from testing.kinds import RELEASE
from testing.runner import BUILD, FAIL, ROOT, SKIP, Result, run
from testing.sources import python_tests_of

# Long, because guests are emulated and QEMU may have to be built.
LIMIT = 5400

# Debian sid's QEMU has its own code for shared memory regions. The others are built with the glue of integrations/qemu.
OF_SID = "sid"
FOLDER = ROOT / "Tests" / "guest" / "programs"
PROGRAMS = BUILD / "tests" / "guest"
BUILDING = threading.Lock()
STATIC = ("-O1", "-static")
# The sources and flags of each program. The programs run in the guest, so they need no library.
SOURCES = {
    "mapped": (["mapped.c"], STATIC),
    "fsx": (["fsx.c"], STATIC),
    "fsstress": (["fsstress.c"], STATIC),
    "posix": (["posix.c", "posix-modes.c", "posix-names.c", "posix-open.c", "posix-times.c"], STATIC),
    "says": (["says.c"], ("-Os", "-static", "-nostdlib", "-fno-stack-protector", "-Wl,--build-id=none")),
}


def build():
    """Compiles the programs. Returns the log of a failure, or None."""
    with BUILDING:
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        for name, (sources, flags) in SOURCES.items():
            files = [FOLDER / source for source in sources]
            newest = max(path.stat().st_mtime for path in (*files, *FOLDER.glob("*.h")))
            if (PROGRAMS / name).exists() and (PROGRAMS / name).stat().st_mtime > newest:
                continue
            status, log = run(["cc", "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", *flags, *files, "-o", PROGRAMS / name])
            if status != 0:
                return log
    return None


def has_qemu(version):
    """Builds a QEMU with the glue of integrations/qemu, unless it is built already. Returns the reason of a failure, or nothing."""
    script, program = ROOT / "scripts" / "build-qemu", BUILD / f"qemu-{version}" / "qemu-system-x86_64"
    with BUILDING:
        if not script.exists():
            return "" if program.exists() else "there is no scripts/build-qemu"
        status, log = run([script, version], time_limit=LIMIT)
        return "" if status == 0 else (log.strip().splitlines() or [f"status {status}"])[-1]


def cases_of(source, qemu):
    """A job: the result of each case of a script, with one QEMU."""
    name = f"{source.stem} ({qemu})"
    log = build()
    if log is not None:
        return [Result(FAIL, name, detail="its programs do not build", log=log)]
    why = has_qemu(qemu) if qemu != OF_SID else ""
    if why:
        # The script prints `build-qemu: ...` if the fetched source cannot be built.
        return [Result(FAIL if why.startswith("build-qemu:") else SKIP, name, detail=why, log=why)]
    environment = {
        **RELEASE.environment,
        "VHUSHMEM_GUEST_PROGRAMS": str(PROGRAMS),
        "VHUSHMEM_GUEST_QEMU": qemu,
        "PYTHONPATH": str(ROOT / "Tests"),
    }
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vhu-") as folder:
        status, log = run([sys.executable, "-B", source], {**environment, "TMPDIR": folder}, time_limit=LIMIT)
    results = suites.results_of(name, status, log)
    results[-1].seconds = time.monotonic() - began
    return results


def qemus():
    """VHUSHMEM_GUEST_QEMU names the QEMUs that are tested."""
    return os.environ.get("VHUSHMEM_GUEST_QEMU", f"{OF_SID} 7.2 10.0").split()


def guest():
    if platform.machine() != "x86_64":
        return [lambda: [Result(SKIP, "guest", detail="its programs are fetched for x86_64 only")]]
    return [functools.partial(cases_of, source, qemu) for qemu in qemus() for source in python_tests_of("guest")]
