# SPDX-License-Identifier: BSD-3-Clause
"""The machine is stopped, goes on, and is reset, while its guest reads by DAX."""

import signal

from _guest import BY_LOADS, CHUNK, Device, boot, content, equal_sums, folder, is_well, mount, right_sums, sums
from common.cases import case, check, equal, run, until

shared = folder("shared")
for n in range(6):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, n))
device = Device("files", shared, window="16M")
guest = None
WANTED = right_sums(shared)


def reads_all():
    equal_sums(sums(guest, how=BY_LOADS), WANTED)


@case("stop and cont while it loads and reads")
def _():
    global guest
    guest = boot(device)
    mount(guest, device)
    count = guest.send("cd /mnt; for n in 1 2 3 4; do cat chunk* | sha256sum; for f in chunk*; do mapped cat $f; done | sha256sum; done; cd /")
    for _ in range(5):
        guest.qmp("stop")
        guest.qmp("cont")
    seen = guest.finish(count).split()[0::2]
    equal((len(seen), len(set(seen))), (8, 1), "sums")
    reads_all()


@case("a reset with live mappings, three times")
def _():
    for _ in range(3):
        check(device.counts()["live"] >= 6)
        guest.qmp("system_reset")
        guest.said = ""
        guest.up()
        mount(guest, device)
        reads_all()
    is_well(guest)


@case("a reset in the middle of maps")
def _():
    guest.send("cd /mnt; while true; do for f in chunk*; do mapped cat $f; done; echo 3 > /proc/sys/vm/drop_caches; done > /dev/null")
    before = device.counts()["SETUPMAPPING"]
    until(lambda: device.counts()["SETUPMAPPING"] > before, "it maps")
    guest.qmp("system_reset")
    guest.said = ""
    guest.up()
    mount(guest, device)
    reads_all()


@case("the end of both")
def _():
    is_well(guest)
    guest.quit()
    equal(device.kill(signal.SIGTERM), 0, "status of the device")


run()
