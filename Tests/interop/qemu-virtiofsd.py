# SPDX-License-Identifier: BSD-3-Clause
"""QEMU 7.2's virtiofsd, in C, behind the library's front-end."""

from _fuse import virtiofsd_cases
from _interop import FETCHED, SCRATCH, Process, file_of, libraries, need, run, socket_path

need("qemu")
folder = SCRATCH / "shared"
folder.mkdir()
file = file_of("shared/file", 1 << 18)
sock = socket_path("fs.sock")
daemon = Process(
    "virtiofsd",
    FETCHED / "qemu/usr/lib/qemu/virtiofsd",
    *(f"--socket-path={sock}", "-o", f"source={folder}", "-o", "sandbox=chroot", "-o", "cache=none"),
    environment=libraries("qemu"),
)
virtiofsd_cases(daemon, sock, file)
run()
