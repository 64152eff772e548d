# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU whose guest is the script: the script accesses the machine's memory and ports over qtest, and drives a virtio-pci device."""

import struct
import time

from common.cases import PATIENCE_S, SCRATCH, check, equal
from common.machine import Qemu, emulator_of_sid

VIRTIO = 0x1AF4
COMMON, NOTIFY, DEVICE, SHARED_MEMORY = 1, 2, 4, 8
WINDOWS_AT, REGISTERS_AT = 0x4000000000, 0xE0000000
RING_SIZE = 16


class Machine(Qemu):
    def __init__(self, name, *command, environment=None):
        path = SCRATCH / f"{name}.qtest"
        super().__init__(name, *command, "-accel", "qtest", "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "none", environment=environment)
        self.wire = self.connect(path)
        self.wire.settimeout(PATIENCE_S)
        self.lines = self.wire.makefile("rw")

    def do(self, *words):
        self.lines.write(" ".join(word if isinstance(word, str) else hex(word) for word in words) + "\n")
        self.lines.flush()
        while True:
            said = self.lines.readline().split()
            check(said, f"{self.name} is gone")
            if said[0] != "IRQ":
                equal(said[0], "OK", words)
                return said[1] if len(said) > 1 else None

    def read(self, at, size):
        return bytes.fromhex(self.do("read", at, size)[2:])

    def write(self, at, data):
        self.do("write", at, len(data), f"0x{data.hex()}")

    def load(self, at, size):
        return int(self.do("read" + {1: "b", 2: "w", 4: "l", 8: "q"}[size], at), 0)

    def store(self, at, size, value):
        self.do("write" + {1: "b", 2: "w", 4: "l", 8: "q"}[size], at, value)

    def pci_load(self, slot, offset):
        self.do("outl", 0xCF8, 0x80000000 | slot << 11 | offset & 0xFC)
        return int(self.do("inl", 0xCFC), 0)

    def pci_store(self, slot, offset, value):
        self.do("outl", 0xCF8, 0x80000000 | slot << 11 | offset & 0xFC)
        self.do("outl", 0xCFC, value)


class SidMachine(Machine):
    """QEMU of sid with one device before the back-end at a socket; `device` names the chardev `back`."""

    def __init__(self, name, sock, device, *words, environment=None):
        emulator = emulator_of_sid()
        super().__init__(
            name,
            *(*emulator.command, "-nodefaults", "-display", "none"),
            *("-machine", "q35,memory-backend=ram", "-m", "64M", "-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
            *("-chardev", f"socket,id=back,path={sock}", "-device", device, *words),
            environment={**emulator.environment, **(environment or {})},
        )


class VirtioDevice:
    """The first virtio device of a machine. It has one ring, in memory at `ring`."""

    def __init__(self, machine, ring=0x1000000):
        self.machine, self.ring = machine, ring
        self.slot = next(slot for slot in range(32) if machine.pci_load(slot, 0) & 0xFFFF == VIRTIO)
        self.shapes = {}
        self.bars = self.place()
        self.capabilities = list(self.find())
        self.common, self.notify = self.address(COMMON), self.address(NOTIFY)
        self.asked = 0

    def place(self):
        """Gives each memory BAR an address. `shapes` has the bytes of each, whether it has 64 bits, and whether it is prefetchable."""
        bars, window, registers, number = {}, WINDOWS_AT, REGISTERS_AT, 0
        while number < 6:
            offset = 0x10 + 4 * number
            self.machine.pci_store(self.slot, offset, 0xFFFFFFFF)
            mask = self.machine.pci_load(self.slot, offset)
            if mask & 6 == 4 and not mask & 1:
                self.machine.pci_store(self.slot, offset + 4, 0xFFFFFFFF)
                size = -(self.machine.pci_load(self.slot, offset + 4) << 32 | mask & ~15) & (1 << 64) - 1
                bars[number] = window = (window + size - 1) // size * size
                self.machine.pci_store(self.slot, offset, window & 0xFFFFFFFF)
                self.machine.pci_store(self.slot, offset + 4, window >> 32)
                self.shapes[number] = size, True, bool(mask & 8)
                window += size
                number += 1
            elif mask and not mask & 1:
                size = -(mask & ~15) & 0xFFFFFFFF
                bars[number] = registers = (registers + size - 1) // size * size
                self.machine.pci_store(self.slot, offset, registers)
                self.shapes[number] = size, False, bool(mask & 8)
                registers += size
            number += 1
        self.machine.pci_store(self.slot, 4, self.machine.pci_load(self.slot, 4) & 0xFFFF | 6)
        return bars

    def find(self):
        """The type, id, address and length of each virtio capability."""
        at = self.machine.pci_load(self.slot, 0x34) & 0xFF
        while at:
            words = [self.machine.pci_load(self.slot, at + 4 * n) for n in range(6)]
            if words[0] & 0xFF == 9:
                kind, bar, identity, offset, length = words[0] >> 24, words[1] & 0xFF, words[1] >> 8 & 0xFF, words[2], words[3]
                if kind == SHARED_MEMORY:
                    offset, length = offset | words[4] << 32, length | words[5] << 32
                if bar in self.bars:
                    yield kind, identity, self.bars[bar] + offset, length
            at = words[0] >> 8 & 0xFF

    def address(self, kind):
        return next(address for found, _, address, _ in self.capabilities if found == kind)

    def bar_of(self, kind):
        address = self.address(kind)
        return next(number for number, at in self.bars.items() if at <= address < at + self.shapes[number][0])

    def window(self, identity):
        """The address and size of a shared memory region."""
        return next((at, size) for kind, found, at, size in self.capabilities if (kind, found) == (SHARED_MEMORY, identity))

    def reset(self):
        self.machine.store(self.common + 20, 1, 0)
        equal(self.machine.load(self.common + 20, 1), 0, "device status")

    def start(self):
        """Negotiates all of the device's own features and none of the ring's, and sets up queue 0."""
        machine, common = self.machine, self.common
        for status in (0, 1, 3):
            machine.store(common + 20, 1, status)
        machine.store(common, 4, 0)
        features = machine.load(common + 4, 4) & 0x00FFFFFF
        for half, value in ((0, features), (1, 1)):
            machine.store(common + 8, 4, half)
            machine.store(common + 12, 4, value)
        machine.store(common + 20, 1, 11)
        equal(machine.load(common + 20, 1), 11, "device status")
        machine.write(self.ring, bytes(0x4000))
        machine.store(common + 22, 2, 0)
        machine.store(common + 24, 2, RING_SIZE)
        for offset, at in ((32, 0), (40, 0x1000), (48, 0x2000)):
            machine.store(common + offset, 8, self.ring + at)
        machine.store(common + 28, 2, 1)
        self.asked = 0
        machine.store(common + 20, 1, 15)
        equal(machine.load(common + 20, 1), 15, "device status")

    def ask(self, request, size):
        """A chain of a request and room for a reply. Returns the reply."""
        machine, ring = self.machine, self.ring
        machine.write(ring + 0x3000, request)
        machine.write(ring + 0x3800, bytes(size))
        chain = struct.pack("<QIHHQIHH", ring + 0x3000, len(request), 1, 1, ring + 0x3800, size, 2, 0)
        machine.write(ring, chain)
        machine.store(ring + 0x1004 + 2 * (self.asked % RING_SIZE), 2, 0)
        self.asked += 1
        machine.store(ring + 0x1002, 2, self.asked)
        machine.store(self.notify, 2, 0)
        end = time.monotonic() + PATIENCE_S
        while machine.load(ring + 0x2002, 2) != self.asked:
            check(time.monotonic() < end, "no answer of the device")
            time.sleep(0.01)
        return machine.read(ring + 0x3800, size)
