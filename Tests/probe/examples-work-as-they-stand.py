# SPDX-License-Identifier: BSD-3-Clause
"""The examples of the man page and of README.md do what they say when they are typed unchanged."""
import pathlib
import re

from _probe import *

source = pathlib.Path(__file__).resolve().parents[2]
path = f"{pathlib.Path(program()).parent}:{os.environ['PATH']}"
man = (source / "tools/man/vhushmem-probe.1").read_text().split(".SH EXAMPLES")[1]
readme = (source / "README.md").read_text().split("\n## vhushmem-probe\n")[1].split("\n## ")[0]
examples = [block.strip() for block in re.findall(r"\.nf\n(.*?)\.fi", man, re.DOTALL)]
examples += re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)[0].strip().splitlines()


def start(text, where):
    """Typed into a shell."""
    process = subprocess.Popen(
        ["sh", "-c", text],
        cwd=where,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    atexit.register(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
    return process


def wait_for(process, where, name):
    while not os.path.exists(os.path.join(where, name)):
        check(process.poll() is None, "it has ended:", process.returncode)
        threading.Event().wait(0.01)


def end(process, how=signal.SIGTERM):
    os.killpg(process.pid, how)
    return process.communicate(timeout=PATIENCE_S)[0].decode()


def said(process):
    output = process.communicate(timeout=PATIENCE_S)[0].decode()
    equal(process.returncode, 0, output)
    return output


MAPS = "echo 'map 1 0 8K memfd' | vhushmem-probe backend device.sock --region 1:16M --until-disconnect"
ANSWERS = "printf 'wait event request 60\\ngive 0 0102\\n' | vhushmem-probe backend device.sock --region 1:16M --until-disconnect"
done = set()
for example in examples:
    where = folder()
    text = example.split("   #")[0].strip()
    subcommand = re.search(r"vhushmem-probe ([a-z]+)", text)[1]
    if "virtiofsd.sock" in text or "virtio-fs" in text:
        name = "virtiofsd.sock" if "virtiofsd.sock" in text else "device.sock"
        with open(os.path.join(where, "README"), "wb") as file:
            file.write(b"A file is shared")
        device = start(f"exec {os.environ['VHUSHMEM_VIRTIOFS']} --socket-path {name} --shared-dir .", where)
        wait_for(device, where, name)
        output = start(text, where).communicate(timeout=PATIENCE_S)[0].decode()
        if device.poll() is None or device.returncode == 0:
            check("|A file is shared|" in output, output)
        device.kill()
        device.communicate()
    elif subcommand == "backend":
        device = start(text, where)
        wait_for(device, where, "device.sock")
        output = said(start("printf 'wait map 1 60\\nexpect maps = 1\\n' | vhushmem-probe connect device.sock", where))
        check("result 0" in output, output)
        end(device)
    elif subcommand in ("proxy", "record"):
        device = start(MAPS, where)
        wait_for(device, where, "device.sock")
        between = start(text, where)
        wait_for(between, where, "vmm.sock")
        said(start("printf 'wait map 1 60\\n' | vhushmem-probe connect vmm.sock", where))
        said(device)
        output = end(between, signal.SIGINT)
        check("SHMEM_MAP" in output and "summary" in output, output)
        equal(os.path.exists(os.path.join(where, "session.pcapng")), subcommand == "record", "the capture")
    else:
        equal(subcommand, "connect", text)
        device = start(ANSWERS, where)
        wait_for(device, where, "device.sock")
        check("as_expected true" in said(start(text, where)), text)
        said(device)
    done.add(subcommand)
equal(done, {"connect", "backend", "proxy", "record"}, "subcommands of the examples")
