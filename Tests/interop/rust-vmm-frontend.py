# SPDX-License-Identifier: BSD-3-Clause
"""rust-vmm's vhost as a front-end (rust-vmm/src/bin/vmm.rs) in front of the device of examples/file-window.c."""

import _rust
from _interop import PROGRAMS, Process, case, equal, file_of, front, run, socket_path

programs = _rust.build()
image = file_of("image", 1 << 20)
sock = socket_path("window.sock")
window = Process("file-window", PROGRAMS.parent / "examples/file-window-c", sock, image)
window.listens(sock)
vmm = Process("vmm", programs / "vmm", front(sock), image)


def says(name, step):
    case(name)(lambda: vmm.has_said(f"vmm  {step}\n"))


says("the handshake, with the regions' sizes", "handshake")
says("memory, a channel and a queue that runs", "started")
says("a request is served: the file's range is mapped and undone", "mapped and unmapped")
says("a refusal is answered, and the next request served", "refused, and served again")
says("a request that waits in the ring is served after a start, twenty times", "stopped and started")
says("after RESET_DEVICE it starts anew", "reset")


@case("it ends, and so does the device")
def _():
    equal(vmm.process.wait(), 0)
    equal(window.process.wait(), 0)


run()
