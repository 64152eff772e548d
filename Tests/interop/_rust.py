# SPDX-License-Identifier: BSD-3-Clause
"""The programs of `rust-vmm/`, built offline with the crates of sid and the installed cargo."""

import fcntl
import json
import shutil
import subprocess
import sys

from _interop import FETCHED, ROOT, need

CRATES = FETCHED / "sid-crates/usr/share/cargo/registry"


def build():
    """Returns the folder of the programs."""
    if shutil.which("cargo") is None:
        print("there is no cargo to build it with")
        sys.exit(77)
    need("sid-crates")
    folder = FETCHED / "rust-vmm"
    folder.mkdir(exist_ok=True)
    with (FETCHED / "rust-vmm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A copy, so that cargo writes its Cargo.lock there and not into the tree.
        shutil.copytree(ROOT / "Tests/interop/rust-vmm", folder, dirs_exist_ok=True)
        command = ["cargo", "build", "--offline", "--manifest-path", folder / "Cargo.toml", "--target-dir", folder / "target"]
        command += ["--config", 'source.crates-io.replace-with="debian"']
        command += ["--config", f"source.debian.directory={json.dumps(str(CRATES))}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr[-4000:])
        sys.exit(1)
    return folder / "target/debug"
