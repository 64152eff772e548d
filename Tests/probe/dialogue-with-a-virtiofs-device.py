# SPDX-License-Identifier: BSD-3-Clause
"""The dialogue virtio-fs with a whole device, vhushmem-virtiofs: it shows a named file through the window, the same in --json and in
words."""
from _probe import *

shared = folder()
content = pattern(6000)
with open(os.path.join(shared, "a-file"), "wb") as file:
    file.write(content)
open(os.path.join(shared, "empty"), "wb").close()
path = os.path.join(folder(), "s")
command = [os.environ["VHUSHMEM_VIRTIOFS"], "--socket-path", path, "--shared-dir", shared, "--tag", "files"]
device = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def start():
    global device
    if device.poll() is not None:
        device = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not os.path.exists(path):
        check(device.poll() is None, "the device has ended", device.returncode)
        threading.Event().wait(0.01)


def talk(text, *arguments):
    start()
    done = subprocess.run([program(), "connect", path, "--device", "fs", *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


try:
    script = f"virtio-fs a-file\nexpect ok\nexpect hex {content[:64].hex()}\nexpect maps = 1\nexpect mappings = 0\n"
    status, output, errors = talk(script, "--dax", "--json")
    if status == 3 and device.wait(PATIENCE_S) != 0:
        print("vhushmem-virtiofs cannot run here:", device.stderr.read().decode().strip().splitlines()[-1])
        sys.exit(77)
    equal(status, 0, "exit status", output, errors)
    lines = [json.loads(line) for line in output.splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    equal([step["name"] for step in steps], ["INIT", "LOOKUP", "OPEN", "SETUPMAPPING", "window", "REMOVEMAPPING"], "steps")
    equal((steps[1]["size"], steps[4]["hex"]), (6000, content[:64].hex()), "what is seen")
    # In the order of the wire: the map comes within SETUPMAPPING, the unmap within REMOVEMAPPING.
    order = [line.get("name", line["event"]) for line in lines if line["event"] in ("step", "map", "unmap")]
    equal(order[3:], ["map", "SETUPMAPPING", "window", "unmap", "REMOVEMAPPING"], "order")

    status, output, errors = talk("virtio-fs a-file\n", "--dax")
    equal(status, 0, "exit status", output, errors)
    check("00000000  00 00 00 00 00 02 00 00" in output, output)

    for name, words in (("nothing", "LOOKUP: No such file"), ("empty", "the file is empty")):
        status, output, errors = talk(f"virtio-fs {name}\nexpect error {words}\n", "--dax", "--json")
        equal(status, 0, "exit status", output, errors)
    # Without --dax a chunk beyond the end of the file is refused, as by a VMM without it.
    status, output, errors = talk("virtio-fs a-file\n", "--json")
    equal(status, 0, "exit status", output, errors)
finally:
    device.kill()
    device.wait()
