# SPDX-License-Identifier: BSD-3-Clause
"""Readers, programs, a writer and a host that changes files, in windows of a few chunks, for a while: no read is wrong, and nothing is
left.

VHUSHMEM_GUEST_SOAK_S gives the seconds: 600 by default with --long, otherwise 60.
"""

import os
import threading
import time

from _guest import BY_LOADS, CHUNK, IS_LONG, Device, boot, content, equal_sums, folder, is_well, mount, programs, right_sums, stamped, sums, tree_of
from common.cases import case, check, equal, run

SECONDS = int(os.environ.get("VHUSHMEM_GUEST_SOAK_S", "600" if IS_LONG else "60"))
FILES, PROGRAM_FILES = 8, 8
shared, bin_folder = folder("shared"), folder("programs")
for n in range(FILES):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, n))
    (shared / f"small{n}").write_bytes(content(1000 * n + 10, f"s{n}"))
(shared / "changes").write_bytes(stamped(512, 1))
programs(bin_folder, PROGRAM_FILES)
device = Device("files", shared, window="8M")
program_device = Device("programs", bin_folder, window="8M")
guest = None

# Each goes on until /tmp/over exists, and reports faults.
SCRIPT = f"""
loads() {{ n=0; cd /mnt; while [ ! -f /tmp/over ]; do for f in chunk? small?; do
    [ "$(mapped cat $f | sha256sum)" = "$(cat /tmp/sum.$f)" ] || echo WRONG load $f; done; n=$((n+1)); done; echo loads-done $n; }}
reads() {{ n=0; cd /mnt; while [ ! -f /tmp/over ]; do for f in chunk? small?; do
    [ "$(sha256sum < $f)" = "$(cat /tmp/sum.$f)" ] || echo WRONG read $f; done; n=$((n+1)); done; echo reads-done $n; }}
execs() {{ n=0; while [ ! -f /tmp/over ]; do i=0; while [ $i -lt {PROGRAM_FILES} ]; do x=$(/programs/says$i)
    [ "$x" = SAYS00$i ] || echo WRONG program $i $x; i=$((i+1)); done; n=$((n+1)); done; echo execs-done $n; }}
writes() {{ n=0; cd /mnt; while [ ! -f /tmp/over ]; do dd if=/dev/urandom of=/tmp/new bs=4k count=$((n % 60 + 1)) 2>/dev/null
    cp /tmp/new written; cmp -s /tmp/new written || echo WRONG write $n; mv written moved; cmp -s /tmp/new moved || echo WRONG move; rm moved
    n=$((n+1)); done; echo writes-done $n; }}
looks() {{ n=0; while [ ! -f /tmp/over ]; do mapped pages /mnt/changes {CHUNK} | grep -q "words 512 zero 0 faults 0" || echo WRONG look; n=$((n+1)); done
    echo looks-done $n; }}
loads & reads & execs & writes & looks & wait
"""


def everything():
    """The resources of QEMU and of the two processes of each device."""
    pids = {"qemu": guest.process.pid}
    for each in (device, program_device):
        pids |= {f"{each.tag} {n}": pid for n, pid in enumerate(each.pids())}
    return {name: tree_of(pid) for name, pid in pids.items()}


def quiet():
    guest.run("umount /mnt; umount /programs; sync")
    mount(guest, device)
    mount(guest, program_device, "/programs")
    guest.run("cat /mnt/small1 > /dev/null; /programs/says1 > /dev/null; umount /mnt; umount /programs; echo 3 > /proc/sys/vm/drop_caches")


def change(over):
    stamp = 2
    while not over.wait(0.05):
        with (shared / "changes").open("r+b") as file:
            file.write(stamped(512, stamp % 250 + 1))
        stamp += 1
    return stamp


@case(f"{SECONDS} s of readers, programs, a writer and a host that changes files")
def _():
    global guest
    guest = boot(device, program_device, processors=4)
    mount(guest, device)
    mount(guest, program_device, "/programs")
    guest.run("cd /mnt; for f in chunk? small?; do sha256sum < $f > /tmp/sum.$f; done; cd /")
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))
    (shared / "script").write_text(SCRIPT)
    guest.run("cp /mnt/script /tmp/soak")
    # The first seconds make what then stays: stacks, caches, translated code.
    guest.run("(sh /tmp/soak > /tmp/warm) & sleep 5; touch /tmp/over; wait; rm /tmp/over")
    quiet()
    before = everything()
    mount(guest, device)
    mount(guest, program_device, "/programs")
    guest.run("(sh /tmp/soak > /tmp/said 2>&1) & S=$!; true")
    over = threading.Event()
    changing = threading.Thread(target=change, args=(over,))
    changing.start()
    time.sleep(SECONDS)
    over.set()
    changing.join()
    said = guest.run("touch /tmp/over; wait $S; cat /tmp/warm /tmp/said")
    check("WRONG" not in said and said.count("-done") == 10, said)
    maps = device.counts()["SETUPMAPPING"] + program_device.counts()["SETUPMAPPING"]
    quiet()
    after = everything()
    print("note:", maps, "maps;", " ".join(said.split()[len(said.split()) // 2 :]))
    for name, had in before.items():
        has = after[name]
        print(name, "before", had, "after", has)
        check(has["descriptors"] <= had["descriptors"], f"{name}: descriptors {had['descriptors']}, then {has['descriptors']}")
        # malloc may map some more arenas; a leak would be one mapping for each of many maps.
        check(has["mappings"] <= had["mappings"] + 12, f"{name}: mappings {had['mappings']}, then {has['mappings']}")
        slack = 48 << 10 if name == "qemu" else 1 << 10
        check(has["memory"] <= had["memory"] + slack, f"{name}: {had['memory']} KiB, then {has['memory']}")


@case("the end of all")
def _():
    is_well(guest)
    guest.quit()
    for each in (device, program_device):
        equal(each.kill(15), 0, "status of a device")


run()
