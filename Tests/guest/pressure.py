# SPDX-License-Identifier: BSD-3-Clause
"""More data than the window: readers at once, programs that run from it, and a writer. Nobody gets another file's bytes."""

from _guest import BY_LOADS, CHUNK, Device, boot, content, equal_sums, folder, is_well, mount, programs, right_sums, sums
from common.cases import case, check, equal, run

FILES, PROGRAM_FILES = 16, 16
shared = folder("shared")
for n in range(FILES):
    (shared / f"chunk{n}").write_bytes(content(CHUNK, n))
(shared / "large").write_bytes(content(8 * CHUNK, "large") * 3)
bin_folder = folder("programs")
programs(bin_folder, PROGRAM_FILES)
# Eight chunks, and four for the programs: the guest's kernel reclaims them all the time.
device = Device("files", shared, window="16M")
program_device = Device("programs", bin_folder, window="8M")
guest = None


@case("a file of 48 MiB through a window of 16")
def _():
    global guest
    guest = boot(device, program_device)
    mount(guest, device)
    mount(guest, program_device, "/programs")
    wanted = right_sums(shared)
    equal(guest.run("mapped cat /mnt/large | sha256sum").split()[0], wanted["large"], "by loads")
    equal(guest.run("sha256sum < /mnt/large").split()[0], wanted["large"], "by read()")
    counts = device.counts()
    check(counts["SETUPMAPPING"] >= 40 and counts["live"] <= 8, counts)


@case("programs that run from the window print their own results")
def _():
    for _ in range(3):
        said = guest.run(f"n=0; while [ $n -lt {PROGRAM_FILES} ]; do /programs/says$n; n=$((n+1)); done").split()
        equal(said, [f"SAYS{n:03}" for n in range(PROGRAM_FILES)])
    check(program_device.counts()["SETUPMAPPING"] > 3 * (PROGRAM_FILES - 4), program_device.counts())


@case("four readers at once")
def _():
    wanted = right_sums(shared)
    readers = "for r in 0 1 2 3; do (for f in chunk*; do echo $(mapped cat $f | sha256sum) $f; done > /tmp/r$r) & done; wait"
    guest.run(f"cd /mnt; {readers}; cd /")
    for n in range(4):
        lines = guest.run(f"cat /tmp/r{n}").splitlines()
        equal({words[2]: words[0] for words in map(str.split, lines)}, {name: s for name, s in wanted.items() if name != "large"}, f"reader {n}")


@case("readers, programs and a writer at once")
def _():
    (shared / "written").write_bytes(bytes(4 * CHUNK))
    runs = f"n=0; while [ $n -lt {PROGRAM_FILES} ]; do /programs/says$n; n=$((n+1)); done > /tmp/says"
    writes = "for w in 0 1 2; do mapped write /mnt/written $((w * 2097152 + 5)) WRITTEN-$w; done"
    reads = "cat chunk* | sha256sum > /tmp/r0"
    loads = "for f in chunk*; do mapped cat $f; done | sha256sum > /tmp/r1"
    guest.run(f"cd /mnt; ({runs}) & ({writes}) & ({reads}) & ({loads}) & wait; cd /")
    equal(guest.run("cat /tmp/says").split(), [f"SAYS{n:03}" for n in range(PROGRAM_FILES)])
    seen = guest.run("cd /mnt; cat chunk* | sha256sum; cat /tmp/r0 /tmp/r1; cd /").split()[0::2]
    equal(len(set(seen)), 1, "all readers read the same", seen)
    for n in range(3):
        equal((shared / "written").read_bytes()[n * CHUNK + 5 :][:9], f"WRITTEN-{n}".encode())
    equal_sums(sums(guest, how=BY_LOADS), right_sums(shared))


@case("the end of both")
def _():
    is_well(guest)
    guest.quit()
    for each in (device, program_device):
        each.kill(15)


run()
