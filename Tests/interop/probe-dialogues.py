# SPDX-License-Identifier: BSD-3-Clause
"""vhushmem-probe's dialogues and driver with whole devices: QEMU's qemu-storage-daemon and virtiofsd, and device-rng."""

import json
import subprocess

from _interop import FETCHED, PATIENCE_S, PROBE, SCRATCH, Process, case, check, device, equal, file_of, libraries, need, run, socket_path

need("qemu")
SIZE, SECTOR = 1 << 20, 512
image = file_of("image", SIZE)
content = image.read_bytes()
disk_sock, files_sock, numbers_sock = socket_path("blk.sock"), socket_path("fs.sock"), socket_path("rng.sock")
disk = Process(
    "qemu-storage-daemon",
    FETCHED / "qemu/usr/bin/qemu-storage-daemon",
    *("--blockdev", f"driver=file,node-name=file,filename={image}"),
    *("--export", f"vhost-user-blk,id=export,node-name=file,addr.type=unix,addr.path={disk_sock},writable=on"),
    environment=libraries("qemu"),
)
numbers = device("rng", numbers_sock)


def talk(sock, text, *words):
    """Runs a script of the probe. Returns its lines."""
    command = [str(word) for word in (PROBE, "connect", sock, "--json", *words)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    equal(done.returncode, 0, text, done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def steps(lines):
    return [line for line in lines if line["event"] == "step"]


@case("a sector of a disk is read, and its features have names")
def _():
    disk.listens(disk_sock)
    lines = talk(disk_sock, f"virtio-blk 7\nexpect ok\nexpect hex {content[7 * SECTOR : 7 * SECTOR + 32].hex()}\n", "--device", "blk")
    equal([(step["name"], step["sector"], step["status"]) for step in steps(lines)], [("read", 7, 0)])
    equal(steps(lines)[0]["hex"], content[7 * SECTOR : 8 * SECTOR].hex())
    check({"FLUSH", "BLK_SIZE", "VERSION_1"} <= set(lines[0]["virtio_features"]), lines[0])


@case("a sector beyond the end of the disk is an error of the device's")
def _():
    talk(disk_sock, f"virtio-blk {SIZE // SECTOR}\nexpect error status 1\nvirtio-blk 3\nexpect ok\n", "--device", "blk")


@case("a request written by hand, the configuration space, a stop and a start")
def _():
    write = f"01000000{'00' * 4}{(9).to_bytes(8, 'little').hex()}"
    talk(
        disk_sock,
        f"features VERSION_1 FLUSH\nstart 1 128\npush 0 out {write} out {'ab' * SECTOR} in 1\nexpect hex 00\nstop\nstart\n"
        f"virtio-blk 9\nexpect hex {'ab' * 32}\nconfig read 0 8\nexpect hex {(SIZE // SECTOR).to_bytes(8, 'little').hex()}\nreset\n",
        "--device",
        "blk",
    )
    equal(image.read_bytes()[9 * SECTOR : 10 * SECTOR], b"\xab" * SECTOR)


@case("a source of numbers gives at most as many as requested")
def _():
    lines = talk(numbers_sock, "virtio-rng 48\nexpect ok\n", "--device", "rng")
    equal(bytes.fromhex(steps(lines)[0]["hex"]), b"VHUSHMEM" * 6)


@case("a file of a device without shared memory is opened, and a sentence says why it is not mapped")
def _():
    (SCRATCH / "shared").mkdir()
    file_of("shared/file", 5000)
    Process(
        "virtiofsd",
        FETCHED / "qemu/usr/lib/qemu/virtiofsd",
        *(f"--socket-path={files_sock}", "-o", f"source={SCRATCH / 'shared'}", "-o", "sandbox=chroot", "-o", "cache=none"),
        environment=libraries("qemu"),
    ).listens(files_sock)
    lines = talk(files_sock, "virtio-fs file\nexpect error no shared memory region\n", "--device", "fs")
    equal([step["name"] for step in steps(lines)], ["INIT", "LOOKUP", "OPEN"])
    equal(steps(lines)[1]["size"], 5000)


run()
