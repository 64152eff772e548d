# SPDX-License-Identifier: BSD-3-Clause
"""A pipe, a folder or an endless file in the place of a file is an error: nothing waits for it. A full disk shows in the exit status."""
from _probe import *

there = folder()
pipe, empty = os.path.join(there, "pipe"), os.path.join(there, "empty")
os.mkfifo(pipe)
open(empty, "wb").close()

for path, words in ((pipe, "regular"), ("/dev/zero", "regular"), (there, "regular"), (empty, "pcapng"), (there + "/none", "No such")):
    status, output, errors = run("replay", path, "--connect", there + "/nobody")
    equal((status, output), (2, ""), path, errors)
    check(words in errors, errors)

# For a truncated capture the program names the place.
with together("--record", there + "/whole") as (_, probe):
    probe.quit()
with open(there + "/whole", "rb") as whole, open(there + "/cut", "wb") as cut:
    cut.write(whole.read()[:-7])
status, _, errors = run("replay", there + "/cut", "--connect", there + "/nobody")
equal(status, 2, "exit status")
check("cut short" in errors, errors)

with Device() as device, Probe(device.path) as probe:
    probe.ready()
    is_answer(probe.ask("start"))
    for path, words in ((pipe, "no byte"), (empty, "no byte"), ("/dev/zero", "more than"), (there, "directory"), (there + "/none", "No such")):
        is_error(probe.ask(f"push 0 out @{path}"), words)
    probe.quit()

# A capture that is a pipe waits for its reader, and can be interrupted.
waiting = subprocess.Popen([program(), "connect", there + "/nobody", "--record", pipe], stdin=subprocess.DEVNULL)
while open(f"/proc/{waiting.pid}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
    check(waiting.poll() is None, "it has ended")
    threading.Event().wait(0.01)
waiting.send_signal(signal.SIGINT)
equal(waiting.wait(PATIENCE_S), -signal.SIGINT, "exit status")

for arguments in (["--version"], ["--help"], ["help", "driver"]):
    with open("/dev/full", "w") as full:
        done = subprocess.run([program(), *arguments], stdout=full, timeout=PATIENCE_S)
    equal(done.returncode, 1, "exit status of", arguments)

with together("--record", "/dev/full") as (_, probe):
    probe.quit(status=1)
