# SPDX-License-Identifier: BSD-3-Clause
"""A capture opens in tshark with the installed dissector: it dissects every message, and every field has a name."""
import pathlib

from _probe import *

tshark_program = os.environ.get("VHUSHMEM_TSHARK") or shutil.which("tshark")
if tshark_program is None:
    print("there is no tshark (Debian's package tshark; the group `interop` fetches it for this test)")
    sys.exit(77)

script = pathlib.Path(program()).parent.parent / "share/vhushmem/wireshark/vhost-user.lua"
check(script.is_file(), script, "is not installed")
home = folder()
capture = os.path.join(home, "a.pcapng")
device_path, there = os.path.join(home, "d"), {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
device = subprocess.Popen(
    [program(), "backend", device_path, "--region", "1:1M", "--region", "7:8K", "--config-size", "8", "--json", "--until-disconnect"], **there
)
while not os.path.exists(device_path):
    threading.Event().wait(0.01)
device.stdin.write(b"wait ready 60\nmap 1 0 8K memfd rw\nmap 1 0 4K memfd\nunmap 1 0 8K\nconfig-changed\n")
device.stdin.flush()
vmm = subprocess.Popen([program(), "connect", device_path, "--json", "--record", capture, "--summary"], **there)
commands = "wait event config_change 60\nconfig write 0 0102\nconfig read 0 4\ninflight\nstart\nstop\ndevice-status\nreset\nquit\n"
said, _ = vmm.communicate(commands.encode(), timeout=PATIENCE_S)
device.communicate(timeout=PATIENCE_S)
equal((vmm.returncode, device.returncode), (0, 0), "exit statuses", said)
summary = json.loads(said.splitlines()[-1])
equal(summary["event"], "summary", summary)
messages = sum(request["count"] + request["replies"] for request in summary["requests"])


def tshark(*arguments):
    done = subprocess.run(
        [tshark_program, "-X", f"lua_script:{script}", "-r", capture, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "HOME": home},
    )
    equal(done.returncode, 0, "exit status of tshark", done.stderr)
    check("Lua" not in done.stderr and "rror" not in done.stderr.replace("Running as", ""), done.stderr)
    return done.stdout


def fields(wanted, *names):
    """The values of these fields in the messages that match a filter."""
    arguments = [argument for name in names for argument in ("-e", "vhost_user." + name)]
    lines = tshark("-Y", wanted, "-T", "fields", *arguments).splitlines()
    return [tuple(line.split("\t")) for line in lines]


names = fields("vhost_user", "name")
equal(len(names), messages, "messages in the capture")
equal([name for name in names if name[0] in ("?", "")], [], "messages without a name")
# No bytes are left without a field.
equal(fields("vhost_user.payload || vhost_user.malformed || _ws.malformed || data", "name", "payload"), [], "bytes without a name")
equal(len(fields("!vhost_user", "name")), 0, "packets that are no messages")

maps = fields('vhost_user.name == "SHMEM_MAP" && vhost_user.reply == 0', "shmid", "shm_offset", "len", "rw", "fd_kind", "fd_size", "channel")
equal(maps[0], ("1", "0x0000000000000000", "0x0000000000002000", "1", "3", "8192", "1"), "the first map")
equal(len(maps), 2, "maps")
equal([result for (result,) in fields('vhost_user.name == "SHMEM_MAP" && vhost_user.reply == 1', "result")], ["0", "-17"], "their results")
regions = fields('vhost_user.name == "GET_SHMEM_CONFIG" && vhost_user.reply == 1', "regions", "shmid", "region_size")
equal(regions, [("2", "1,7", "0x0000000000100000,0x0000000000002000")], "regions")
kinds = fields('vhost_user.name == "SET_VRING_KICK" && vhost_user.reply == 0', "queue", "has_fd", "fd_kind")
equal(kinds, [("0", "1", "1")], "the kick")
equal(fields('vhost_user.name == "SET_CONFIG" && vhost_user.reply == 0', "offset", "len", "bytes"), [("0x00000000", "0x0000000000000002", "0102")], "config")
for name in ("SET_VRING_ADDR", "GET_INFLIGHT_FD", "SET_STATUS", "CONFIG_CHANGE_MSG", "ADD_MEM_REG", "GET_VRING_BASE"):
    check((name,) in names, name, "is missing in", names)
check("back-end" in tshark("-T", "fields", "-e", "_ws.col.Source"), "who it is from")
