"""The C tests on other kernels, each booted in an emulated machine. docs/testing.md describes them."""

import functools
import os
import platform
import shutil

from testing import machines
from testing.kinds import RELEASE
from testing.runner import BUILD, ROOT, SKIP, FAIL, Result, run

VERSIONS = ("5.10", "6.1")
FOLDER = BUILD / "kernels"


def fetch(what, script="fetch-kernels"):
    """Sees to it that it is below build/. If not, returns the reason as that of a skipped test."""
    status, log = run([ROOT / "scripts" / script, what], time_limit=900)
    lines = log.strip().splitlines()
    return [] if status == 0 else [Result(SKIP, f"fetch {what}", detail=lines[-1] if lines else f"status {status}")]


def qemu(name, unpacked, firmware):
    """A command, and what it needs in its environment: the installed one, or that which was unpacked."""
    installed = shutil.which(name)
    if installed:
        return [installed], {}
    libraries = [str(folder) for part in ("usr/lib", "lib") for folder in (unpacked / part).glob("*-linux-gnu")]
    folders = [word for part in firmware for word in ("-L", unpacked / "usr/share" / part)]
    return [unpacked / "usr/bin" / name, *folders], {"LD_LIBRARY_PATH": ":".join(libraries)}


def boot(version):
    command, environment = qemu("qemu-system-x86_64", FOLDER / "qemu", ("qemu", "seabios"))
    report, console = FOLDER / f"{version}.report", FOLDER / f"{version}.console"
    image = next((FOLDER / version / "boot").glob("vmlinuz-*"))
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg,thread=multi"]
    command += ["-cpu", "max", "-smp", "2", "-m", "2048", "-kernel", image, "-initrd", FOLDER / "initramfs"]
    command += ["-append", "console=ttyS0 quiet panic=-1 tsc=reliable", "-serial", f"file:{console}", "-serial", f"file:{report}"]
    return machines.boot(command, environment, report, console)


def tests_on(version, guest):
    """A job: boots one kernel, and has a result for each test."""
    guest.is_ready.wait()
    if not guest.names:
        return []
    missing = fetch(version)
    if missing:
        return missing
    results = machines.results(version, guest.names, *boot(version))
    if not results[0].detail.startswith(f"{version}."):
        results[0].outcome = FAIL
    return results


def kernels():
    if platform.machine() != "x86_64":
        return [lambda: [Result(SKIP, "kernels", detail="they are booted on x86_64 only")]]
    # To find the reason of a failure, run only one kernel.
    versions = os.environ.get("VHUSHMEM_TEST_KERNELS", " ".join(VERSIONS)).split()
    guest = machines.Guest("kernels", RELEASE, FOLDER, needs=lambda: fetch("qemu"))
    return [guest.prepare, *(functools.partial(tests_on, version, guest) for version in versions)]
