# SPDX-License-Identifier: BSD-3-Clause
"""A microvm: the device at virtio-mmio, without PCI."""

from _guest import BY_CHUNK, BY_LOADS, CHUNK, Device, boot, content, equal_sums, folder, is_well, mount, right_sums, sums
from common.cases import case, check, equal, run

shared = folder("shared")
for n, size in enumerate((0, 1, 5000, 100_000, CHUNK, 2 * CHUNK)):
    (shared / f"file{n}").write_bytes(content(size, n))
device = Device("files", shared)
guest = None


@case("every file by read() and by mmap")
def _():
    global guest
    more = ["-global", "virtio-mmio.force-legacy=false", *device.words(place="mmio")]
    # The kernel has no timer with which it could measure an emulated processor.
    guest = boot(machine="microvm", more=more, append="tsc_early_khz=2000000 lpj=4000000")
    # DAX needs a QEMU with shared memory regions at virtio-mmio: one with the glue has them, 11.1 does not. The guest finds out.
    mount(guest, device, options="")
    equal_sums(sums(guest), right_sums(shared))
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))
    counts = device.counts()
    equal(counts["SETUPMAPPING"] == 0, BY_CHUNK, "whether there is no DAX (of QEMU 11.1: docs/with-qemu.md would change)", counts)
    equal(counts["READ"] == 0, not BY_CHUNK, "whether no byte is read by a request", counts)
    print(f"note: {'with' if counts['SETUPMAPPING'] else 'without'} DAX")


@case("each side reads what the other writes")
def _():
    guest.run("echo of the guest > /mnt/new; mapped write /mnt/file4 4096 STORED; sync")
    equal((shared / "new").read_text(), "of the guest\n")
    equal((shared / "file4").read_bytes()[4096:4102], b"STORED")


@case("the end of both")
def _():
    is_well(guest)
    guest.quit()
    device.kill(15)


run()
