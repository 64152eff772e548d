# SPDX-License-Identifier: BSD-3-Clause
"""Wrong options end with 2 and a line on standard error, before anything is opened. --help and --version end with 0."""
from _probe import *

socket_path = ["--socket", os.path.join(folder(), "s")]
for arguments in (
    [],
    ["--socket"],
    [*socket_path, "--no-such-option"],
    [*socket_path, "word"],
    [*socket_path, "--holes", "some"],
    [*socket_path, "--strategy", "none"],
    [*socket_path, "--shmem-bit", "19"],
    [*socket_path, "--shmem-bit", "23"],
    [*socket_path, "--shmem-bit", "x"],
    [*socket_path, "--shmem-bit", "-22"],
    [*socket_path, "--region", "0"],
    [*socket_path, "--region", "0:"],
    [*socket_path, "--region", ":4096"],
    [*socket_path, "--region", "256:4096"],
    [*socket_path, "--region", "0:0"],
    [*socket_path, "--region", "0:4097"],
    [*socket_path, "--region", "0:x"],
    [*socket_path, "--region", "0:0x1000:1"],
    [*socket_path, "--region", "0:0x10000", "--region", "0:0x10000"],
    ["--socket", "/" + 200 * "x"],
):
    for before in ([], ["--json"]):
        status, output, errors = run(*before, *arguments)
        equal(status, 2, "exit status for", arguments, output, errors)
        equal(output, "", "output for", arguments)
        check(errors.startswith("vhushmem-probe: ") and errors.endswith("\n"), arguments, errors)
equal(os.path.exists(socket_path[1]), False, "a socket")

status, output, errors = run("--help")
equal((status, errors), (0, ""), "--help")
for word in ("--socket", "--server", "--holes", "--region", "--json", "read SHMID OFFSET LEN", "Exit status", "help"):
    check(word in output, word, "is missing in", output)
status, output, errors = run("--version")
equal((status, errors), (0, ""), "--version")
check(output.startswith("vhushmem-probe 0."), output)
