# SPDX-License-Identifier: BSD-3-Clause
"""The virtiofsd of sid, in Rust on rust-vmm's crates, behind the library's front-end."""

from _fuse import FileSystem, virtiofsd_cases
from _interop import SCRATCH, VERSION_1, Driver, Process, case, equal, file_of, need, run, socket_path, with_own_loader

need("sid-virtiofsd")
folder = SCRATCH / "shared"
folder.mkdir()
file = file_of("shared/file", 1 << 18)
content = file.read_bytes()


def start(name, sock):
    words = (f"--socket-path={sock}", f"--shared-dir={folder}", "--sandbox=none", "--seccomp=none", "--inode-file-handles=never")
    return Process(name, *with_own_loader("sid-virtiofsd", "usr/libexec/virtiofsd"), *words, "--migration-mode=find-paths")


sock = socket_path("fs.sock")
parts = virtiofsd_cases(start("virtiofsd", sock), sock, file)


@case("its state moves to another one, and an open file is read on")
def _():
    driver, fs, opens, reads = parts()
    opens()
    reads(0)
    node, _ = fs.lookup("file")
    handle = fs.open(node)
    equal(driver.ask("migratable"), "0")
    driver.ask("stop")
    state = SCRATCH / "state"
    driver.ask("state", "save", state)
    driver.ask("quit")
    other_sock = socket_path("other.sock")
    other = start("other-virtiofsd", other_sock)
    other.listens(other_sock)
    other_driver = Driver(other_sock, 2, name="other-driver")
    other_driver.ask("state", "load", state)
    other_driver.ask("start", VERSION_1)
    other_fs = FileSystem(other_driver)
    equal(other_fs.read(node, handle, 8192, 4096), content[8192:12288])
    equal(other_fs.lookup("file")[1], len(content))


run()
