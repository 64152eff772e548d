# SPDX-License-Identifier: BSD-3-Clause
"""QEMU of sid reports what it negotiated with a back-end (x-query-virtio-status). The library's feature map has QEMU's names, order,
form and left-over bits; the explanations are the library's own words.

QEMU 11.1.3 cannot answer, whatever the device: it omits a field of the answer (backend-features), and ends by an assertion. So the test
asks a first QEMU, whose trace tells where the field is in the answer. In later ones the field is filled in (preload/fill-in.c), and all
else is QEMU's. The test takes the answer of a QEMU that can answer as it is.
"""

import ctypes
import json
import os
import re
import socket
import struct
import subprocess
import threading

from _interop import F_PROTOCOL, PATIENCE_S, ROOT, SCRATCH, VERSION_1, case, check, device, equal, need, run, socket_path
from _qtest import SidMachine, VirtioDevice

need("sid-qemu")
PREFIX = "VHOST_USER_PROTOCOL_F_"
# Bits that have a name in the specification, and so here, but none in QEMU 11.1.
UNNAMED_THERE = {"XEN_MMAP", "GET_VRING_BASE_INFLIGHT", "GPA_ADDRESSES", "GET_VRING_BASE_SKIP_DRAIN"}
library = ctypes.CDLL(os.environ["VHUSHMEM_LIBRARY"])
library.vhushmem_protocol_features_to_json.restype = ctypes.c_void_p
library.vhushmem_protocol_features_to_json.argtypes = [ctypes.c_uint64]
library.vhushmem_protocol_feature_name.restype = ctypes.c_char_p
BIT = {library.vhushmem_protocol_feature_name(bit).decode(): bit for bit in range(24)}
filling = {}


def ours(features):
    return json.loads(ctypes.string_at(library.vhushmem_protocol_features_to_json(features)))


def names(told):
    for text in told["protocols"]:
        check(re.fullmatch(PREFIX + r"[A-Z_]+: \S.*", text), text)
    return [text.removeprefix(PREFIX).partition(": ")[0] for text in told["protocols"]]


def asked(sock, name, *words, environment=None):
    """Starts a device in front of the back-end at a socket. Returns the QEMU and its answer, which is None if QEMU ended."""
    flag = SCRATCH / f"{name}.asked"
    # vhost-user-test-device cannot answer even so: it has no function that returns its vhost device.
    qemu_device = "vhost-user-fs-pci,chardev=back,tag=interop"
    machine = SidMachine(name, sock, qemu_device, *words, environment={"FILL_IN_WHILE": str(flag), **(environment or {})})
    VirtioDevice(machine).start()
    path = machine.qmp("x-query-virtio")[0]["path"]
    flag.touch()
    try:
        return machine, machine.qmp("x-query-virtio-status", path=path)
    except (AssertionError, OSError):
        machine.process.wait(PATIENCE_S)
        return machine, None


def agreed(sock, name):
    """QEMU's report of the protocol features that it negotiated with the back-end at a socket."""
    machine, told = asked(sock, name, environment=filling)
    check(told is not None, "QEMU ended")
    machine.quit()
    return told["vhost-dev"]["protocol-features"]


def compare(theirs, features):
    """Compares both for the same features. QEMU has fewer names. It puts the bits without a name into its number."""
    mine = ours(features)
    without = [name for name in names(mine) if name not in UNNAMED_THERE]
    equal(without, names(theirs), "names in their order")
    left_over = sum(1 << BIT[name] for name in names(mine) if name in UNNAMED_THERE)
    equal(theirs.get("unknown-protocols", 0), mine.get("unknown-protocols", 0) | left_over, "what is left over")
    equal(theirs.keys() - mine.keys(), {"unknown-protocols"} if left_over else set(), "keys")
    equal(mine.keys() - theirs.keys(), set(), "keys")
    if "unknown-protocols" in theirs:
        equal(type(theirs["unknown-protocols"]), int)


class Everything(threading.Thread):
    """A back-end that offers every possible bit, which the library's never does. It serves a front-end until its queues run."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.accepted = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(sock))
        self.listener.listen()
        self.start()

    def run(self):
        wire, _ = self.listener.accept()
        status = 0
        while True:
            head, fds, _, _ = socket.recv_fds(wire, 12, 8)
            if len(head) < 12:
                return
            for fd in fds:
                os.close(fd)
            request, flags, size = struct.unpack("<3I", head)
            body = wire.recv(size, socket.MSG_WAITALL) if size else b""
            reply = None
            if request == 16:
                (self.accepted,) = struct.unpack("<Q", body)
            elif request == 39:
                status = body[0]
            if request in (1, 15, 17, 36, 40):
                values = {1: VERSION_1 | F_PROTOCOL, 15: (1 << 64) - 1, 17: 2, 36: 8, 40: status}
                reply = struct.pack("<Q", values[request])
            elif request == 44:
                reply = bytes(8 + 256 * 8)
            elif request == 11:
                reply = struct.pack("<2I", body[0], 0)
            elif flags & 8:
                reply = bytes(8)
            if reply is not None:
                wire.sendall(struct.pack("<3I", request, 5, len(reply)) + reply)


@case("QEMU reports what it negotiated, with its missing field filled in")
def _():
    sock = socket_path("first.sock")
    device("features", sock, 0, 1 << 20, name="first-device")
    machine, told = asked(sock, "first", "-trace", "visit_start_struct", "-trace", "visit_type_str")
    if told is None:
        log = machine.text()
        check(re.search(r"visit_start_struct.*name=backend-features.*\n.*Assertion", log), "QEMU ended for another reason")
        size = re.findall(r"visit_start_struct .*name=unused .*size=(\d+)", log)[-1]
        first = re.findall(r"visit_type_str .*name=name obj=(0x[0-9a-f]+)", log)[-1]
        field, its_size = re.search(r"visit_start_struct .*name=backend-features obj=(0x[0-9a-f]+) size=(\d+)", log).groups()
        made = SCRATCH / "fill-in.so"
        source = ROOT / "Tests/interop/preload/fill-in.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", made, source], check=True)
        word = (int(field, 0) - int(first, 0)) // 8
        filling.update(LD_PRELOAD=str(made), FILL_IN_SIZE=size, FILL_IN_WORD=str(word), FILL_IN_BYTES=its_size)
    sock = socket_path("second.sock")
    device("features", sock, 0, 1 << 20, name="second-device")
    check("SHMEM" in names(agreed(sock, "second")))


for features in (0, (1 << 64) - 1, 1 << 3 | 1 << 5 | 1 << 10 | 1 << 22, 1 << 3):

    @case(f"the library's back-end that offers {features:#x}")
    def _(features=features):
        sock = socket_path(f"{features:x}.sock")
        ours_running = device("features", sock, hex(features), 1 << 20, name=f"device-{features:x}")
        theirs = agreed(sock, f"qemu-{features:x}")
        ours_running.has_said(r"protocol features 0x\w+\n")
        said = int(re.findall(r"protocol features (0x[0-9a-f]+)", ours_running.text())[-1], 0)
        check(features == 0 or said & ~features == 0, f"{said:#x}")
        compare(theirs, said)


@case("a back-end that offers every bit")
def _():
    sock = socket_path("everything.sock")
    everything = Everything(sock)
    theirs = agreed(sock, "qemu-everything")
    compare(theirs, everything.accepted)
    # QEMU accepted the features that it has a name for, except those that its device lacks, and two bits without a name.
    equal(set(BIT) - set(names(theirs)), UNNAMED_THERE | {"CONFIG"}, "what QEMU does not name")
    equal(theirs["unknown-protocols"], 1 << BIT["XEN_MMAP"] | 1 << BIT["GPA_ADDRESSES"])


run()
