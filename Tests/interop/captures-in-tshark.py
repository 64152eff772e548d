# SPDX-License-Identifier: BSD-3-Clause
"""Debian's tshark opens vhushmem-probe's records with every field named: the test of the group `probe`, even where tshark is not
installed."""

import os
import subprocess
import sys

from _interop import PATIENCE_S, ROOT, case, equal, run
from _tshark import tshark


@case("a capture of a whole session opens")
def _():
    program, more = tshark()
    command = [sys.executable, "-B", ROOT / "Tests/probe/captures-open-in-tshark.py"]
    environment = {**os.environ, **more, "VHUSHMEM_TSHARK": program}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    equal(done.returncode, 0, done.stdout[-2000:], done.stderr[-2000:])


run()
