# SPDX-License-Identifier: BSD-3-Clause
"""UEFI firmware reads and writes files by its own driver for virtio-fs."""

import re
import shutil

from _guest import CHUNK, EMULATOR, Device, content, folder
from common.cases import FETCHED, SCRATCH, case, check, equal, need, run
from common.machine import Guest

need("ovmf")
OVMF = FETCHED / "ovmf/usr/share/OVMF"
shared = folder("shared")
(shared / "hello.txt").write_text("read by the firmware\r\n")
(shared / "large").write_bytes(content(3 * CHUNK + 77, 1))
(shared / "folder").mkdir()
(shared / "folder" / "small").write_bytes(content(777, 3))
# The shell of the firmware runs it.
COMMANDS = """@echo -off
for %f in 0 1 2 3
  if exist fs%f:\\hello.txt then
    fs%f:
  endif
endfor
type hello.txt
cp -q large copy
cp -q folder\\small small-copy
mkdir made
mv small-copy made\\small
rm -q folder\\small
echo SHELL IS DONE
"""
(shared / "startup.nsh").write_text(COMMANDS.replace("\n", "\r\n"))
device = Device("files", shared)
guest = None


@case("the firmware reads a file")
def _():
    global guest
    variables = SCRATCH / "variables"
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", variables)
    boot = ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}", "-drive", f"if=pflash,format=raw,file={variables}"]
    boot += ["-global", "driver=cfi.pflash01,property=secure,value=off"]
    guest = Guest("qemu", *device.words(), emulator=EMULATOR, memory="512M", boot=boot)
    said = guest.wait("SHELL IS DONE")
    check("read by the firmware" in said, re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", said)[-600:])


@case("it copies, makes, moves and removes")
def _():
    equal((shared / "copy").read_bytes(), (shared / "large").read_bytes())
    equal((shared / "made" / "small").read_bytes(), content(777, 3))
    check(not (shared / "folder" / "small").exists())
    check(device.counts()["READ"] > 0, "by requests")


@case("the end of both")
def _():
    guest.quit()
    device.kill(15)


run()
