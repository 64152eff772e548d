# SPDX-License-Identifier: BSD-3-Clause
"""A proxy with the test on both sides, and tshark's view of what it recorded."""
import pathlib

import _schema
from _probe import *

SCRIPT = pathlib.Path(program()).parent.parent / "share/vhushmem/wireshark/vhost-user.lua"
TSHARK = os.environ.get("VHUSHMEM_TSHARK") or shutil.which("tshark")


class Between:
    """The proxy's front and back; channels are exchanged too."""

    def __init__(self, *arguments):
        self.folder = folder()
        self.capture = os.path.join(self.folder, "kept")
        device = os.path.join(self.folder, "d")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(device)
        listener.listen(1)
        listener.settimeout(PATIENCE_S)
        path = os.path.join(self.folder, "p")
        self.process = subprocess.Popen(
            [program(), "proxy", "--listen", path, "--connect", device, "--json", "--dump-wire", "--record", self.capture, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self.front = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The path exists before anybody listens.
        while self.front.connect_ex(path) != 0:
            check(self.process.poll() is None, "it has ended")
            threading.Event().wait(0.01)
        self.back, _ = listener.accept()
        ours, theirs = socket.socketpair()
        send_message(self.front, SET_BACKEND_REQ_FD, VERSION, b"", [theirs.fileno()])
        theirs.close()
        listener.close()
        self.front_channel, self.back_channel = ours, socket.socket(fileno=receive_message(self.back)[3][0])
        for end in (self.front, self.back, self.front_channel, self.back_channel):
            end.settimeout(PATIENCE_S)

    def passes(self, sender, receiver, request, flags, payload):
        send_message(sender, request, flags, payload)
        equal(receive_message(receiver)[:3], (request, flags, payload), "the messages that passed")

    def end(self):
        """Returns the lines."""
        for end in (self.front, self.back, self.front_channel, self.back_channel):
            end.close()
        self.process.terminate()
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        equal(self.process.returncode, 0, "exit status")
        lines = [json.loads(line) for line in output.splitlines()]
        for line in lines:
            equal(_schema.fault_of_line(line), None, line)
        return lines


def tshark(capture, *arguments):
    """tshark's output. The dissector made no mistake."""
    environment = {**os.environ, "HOME": folder()}
    command = [TSHARK, "-X", f"lua_script:{SCRIPT}", "-r", capture, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S, env=environment)
    equal(done.returncode, 0, "exit status of tshark", done.stderr)
    check("Lua" not in done.stderr and "Lua Error" not in done.stdout, done.stderr, done.stdout[-500:])
    return done.stdout


# The modules, too, and the names of _probe.
__all__ = [name for name in globals() if not name.startswith("_")] + ["_schema"]
