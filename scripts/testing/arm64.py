"""The C tests and the hostile back-ends on arm64, in an emulated machine, with pages of 4 and of 16 KiB. docs/testing.md describes them."""

import functools
import os
import platform

from testing import machines
from testing.kernels import fetch, qemu
from testing.kinds import CrossKind, toolchain
from testing.runner import BUILD, FAIL, ROOT, SKIP, Result, run

FOLDER = BUILD / "arm64"
# The folder of each kernel. They differ in the size of a page.
KERNELS = ("linux", "linux-16k")


def add_modules(kernel, contents):
    """Writes what all guests have and, after it, the modules of one kernel, which takes several archives in a row. Returns a log."""
    modules = FOLDER / f"{kernel}.modules"
    pairs = [f"/modules/{file.name}={file}" for file in (FOLDER / kernel / "modules").iterdir()]
    log = run([ROOT / "scripts" / "initramfs", "--sysroot", FOLDER / "sysroot", modules, *pairs])[1]
    with contents.open("wb") as archive:
        for part in (FOLDER / "initramfs", modules):
            archive.write(part.read_bytes())
    return log


def boot(kernel):
    command, environment = qemu("qemu-system-aarch64", FOLDER / "qemu", ("qemu",))
    report, console = FOLDER / f"{kernel}.report", FOLDER / f"{kernel}.console"
    image = next((FOLDER / kernel / "boot").glob("vmlinuz-*"))
    contents = FOLDER / f"{kernel}.initramfs"
    log = add_modules(kernel, contents)
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg,thread=multi", "-machine", "virt"]
    command += ["-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", "2048", "-kernel", image, "-initrd", contents]
    command += ["-append", "console=ttyAMA0 quiet panic=-1 report=/dev/ttyS0", "-serial", f"file:{console}"]
    command += ["-chardev", f"file,id=report,path={report}", "-device", "pci-serial,chardev=report"]
    said, messages = machines.boot(command, environment, report, console)
    return said, log + messages


def tests_on(kernel, guest):
    """A job: boots one kernel, and has a result for each test."""
    guest.is_ready.wait()
    if not guest.names:
        return []
    return fetch(kernel, "fetch-arm64") or machines.results(kernel, guest.names, *boot(kernel))


def prepare():
    """Fetches and builds the contents of the guest. Returns results if that is impossible."""
    missing = fetch("sysroot", "fetch-arm64") or fetch("qemu", "fetch-arm64")
    if missing:
        return missing
    status, log = run([ROOT / "scripts" / "build", "arm64"], time_limit=1800)
    return [] if status == 0 else [Result(FAIL, "build arm64", detail=f"status {status}", log=log)]


def arm64():
    if platform.machine() != "x86_64":
        return [lambda: [Result(SKIP, "arm64", detail="it is emulated on x86_64 only")]]
    kernels = os.environ.get("VHUSHMEM_TEST_KERNELS", " ".join(KERNELS)).split()
    sysroot = FOLDER / "sysroot"
    kind = CrossKind("arm64", BUILD / "stage-arm64", toolchain("clang"), "", sysroot=sysroot, triple="aarch64-linux-gnu")
    pack = ["--sysroot", sysroot, "--objcopy", toolchain("objcopy")]
    guest = machines.Guest("arm64", kind, FOLDER, needs=prepare, hostile=True, pack=pack)
    return [guest.prepare, *(functools.partial(tests_on, kernel, guest) for kernel in kernels)]
