"""Runs Debian's programs of other projects against our front-end and back-end. Tests/interop/README.md has the table."""

import functools
import platform
import sys
import tempfile
import threading

from testing import suites
from testing.kinds import RELEASE
from testing.runner import FAIL, ROOT, SKIP, Result, run
from testing.sources import c_sources, python_tests_of

# Long, because packages may have to be fetched and guests are emulated.
LIMIT = 3600


EXAMPLES = [ROOT / "examples" / "file-window.c"]
BUILDING = threading.Lock()


def build():
    """Compiles the driver, the devices and examples. Returns the log of a failure, or None."""
    with BUILDING:
        logs = [RELEASE.compile(source, RELEASE.program(source)) for source in [*c_sources("interop"), *EXAMPLES]]
    return "".join(log for log in logs if log is not None) or None


def cases_of(source):
    """A job: the result of each case of a script."""
    log = build()
    if log is not None:
        return [Result(FAIL, source.stem, detail="its programs do not build", log=log)]
    environment = {**RELEASE.environment, "VHUSHMEM_INTEROP": str(RELEASE.programs / "interop"), "PYTHONPATH": str(ROOT / "Tests")}
    with tempfile.TemporaryDirectory(prefix="vhu-") as folder:
        status, log = run([sys.executable, "-B", source], {**environment, "TMPDIR": folder}, time_limit=LIMIT)
    return suites.results_of(source.stem, status, log)


def interop():
    if platform.machine() != "x86_64":
        return [lambda: [Result(SKIP, "interop", detail="its programs are fetched for x86_64 only")]]
    return [functools.partial(cases_of, source) for source in python_tests_of("interop")]
