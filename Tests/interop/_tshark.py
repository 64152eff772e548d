# SPDX-License-Identifier: BSD-3-Clause
"""tshark, installed or from Debian's package, with this project's dissector."""

import os
import shutil
import subprocess

from _interop import FETCHED, PATIENCE_S, SCRATCH, STAGE, check, equal, fetch, libraries

DISSECTOR = STAGE / "share/vhushmem/wireshark/vhost-user.lua"


def tshark():
    """The program, and its environment. Raises Skip."""
    if installed := shutil.which("tshark"):
        return installed, {}
    fetch("tshark")
    root = FETCHED / "tshark"
    data = {"WIRESHARK_DATA_DIR": str(root / "usr/share/wireshark")}
    return program_of_nobody(root / "usr/bin/tshark"), {**libraries("tshark"), **data}


def program_of_nobody(program):
    """A way to start a program so that it does not see that it runs as root. As root, tshark takes its data only from /usr/share,
    and loads no dissector if nothing is there."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode != 0:
        return str(program)
    starter = SCRATCH / "tshark"
    starter.write_text(f'#!/bin/sh\nexec unshare --user "{program}" "$@"\n')
    starter.chmod(0o755)
    return str(starter)


def fields(capture, wanted, *names):
    """The values of the dissector's fields in the packets that match a filter."""
    program, environment = tshark()
    command = [program, "-X", f"lua_script:{DISSECTOR}", "-r", capture, "-Y", wanted, "-T", "fields"]
    command += [word for name in names for word in ("-e", f"vhost_user.{name}")]
    environment = {**os.environ, **environment, "HOME": str(SCRATCH)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
    equal(done.returncode, 0, "exit status of tshark", done.stderr)
    check("Lua" not in done.stderr, done.stderr)
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]
