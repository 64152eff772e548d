# SPDX-License-Identifier: BSD-3-Clause
"""docs/probe-json.md has every event and key of the schema, and every line of a session that uses most of them fits the schema.

The lines of the other tests are compared with it as well (Probe.line)."""
import _schema
from _probe import *

text = (_schema.DOCS / "probe-json.md").read_text()
words = set(__import__("re").findall(r"`([a-z0-9_]+)`", text))


def keys(schema):
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from keys(inner)
    yield from keys(schema["items"]) if "items" in schema else ()


for name, schema in _schema.SCHEMA["$defs"].items():
    if name.startswith("event_"):
        check(name.removeprefix("event_") in words, "the event", name, "is missing in docs/probe-json.md")
    missing = set(keys(schema)) - words - {"event"}
    equal(missing, set(), "keys of", name, "that docs/probe-json.md does not have")
try:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(_schema.SCHEMA)
    validator = jsonschema.Draft202012Validator(_schema.SCHEMA)
except ImportError:
    validator = None


def lines_of(text):
    for line in text.decode().splitlines():
        record = json.loads(line)
        equal(_schema.fault_of_line(record), None, line)
        if validator is not None:
            validator.validate(record)
        yield record["event"]


seen = set()
there = folder()
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
device = subprocess.Popen([program(), "backend", there + "/d", "--region", "1:1M", "--config-size", "8", "--json", "--until-disconnect"], **pipes)
while not os.path.exists(there + "/d"):
    threading.Event().wait(0.01)
proxy = subprocess.Popen(
    [program(), "record", there + "/f", "--listen", there + "/p", "--connect", there + "/d", "--json", "--until-disconnect"]
    + ["--summary", "--dump-wire"],
    **pipes,
)
while not os.path.exists(there + "/p"):
    threading.Event().wait(0.01)
device.stdin.write(
    b"wait ready 60\nmap 1 0 8K memfd rw\nmap 1 0 8K memfd\nunmap 1 4K 4K\nunmap 1 0 8K\nconfig-changed\nhelp\nnonsense\n"
    b"wait event request 60\ngive 0 0102\nwait event request 60\ngive 0 01\n"
)
device.stdin.flush()
proxy.stdin.write(b"wait map 1 60\nstatus\nread 1 0 4\nhelp\n")
proxy.stdin.flush()
vmm = subprocess.Popen([program(), "connect", there + "/p", "--json"], **pipes)
commands = (
    b"wait event config_change 60\nmemory 1M\nfeatures 32\nconfig write 0 0102\nconfig read 0 4\ninflight\nstart\ndevice-status\n"
    b"push 0 out 01 in 2\nexpect hex 0102\nvirtio-rng 4\nstatus\ntouch 1 0 1\nhelp read\nread\nstop\nreset\nexpect resets = 1\nquit\n"
)
for process, said in ((vmm, commands), (proxy, b""), (device, b"")):
    output, _ = process.communicate(said, timeout=PATIENCE_S)
    equal(process.returncode, 0, "exit status", output)
    seen |= set(lines_of(output))
wanted = "ready map unmap answer wire summary step request queue_started queue_stopped config_written device_status connected disconnect reset"
equal(set(wanted.split()) - seen, set(), "events that did not come")
