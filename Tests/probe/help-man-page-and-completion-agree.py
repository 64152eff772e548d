# SPDX-License-Identifier: BSD-3-Clause
"""--help fits one screen, each topic is there, and the man page, the completion and the program know the same options and topics."""
import pathlib
import re

from _probe import *

share = pathlib.Path(program()).parent.parent / "share"
screen = run("--help")
equal((screen[0], screen[2]), (0, ""), "--help")
lines = screen[1].splitlines()
check(len(lines) <= 24 and max(map(len, lines)) <= 80, f"{len(lines)} lines of up to {max(map(len, lines))} columns")
equal(run("help"), screen, "help")
topics = re.search(r"vhushmem-probe help ((?:[a-z]+\|)+\s*[a-z|]+)", screen[1].replace("|\n      ", "|"))[1].split("|")
subcommands = ["connect", "proxy", "record", "replay", "backend"]
equal(sorted(topics), sorted([*subcommands, "commands", "driver", "scripts", "requests", "json", "exit"]), "topics")
pages = screen[1]
for topic in topics:
    status, page, errors = run("help", topic)
    equal((status, errors), (0, ""), "help", topic)
    check(max(map(len, page.splitlines())) <= 92, topic, "is too wide")
    pages += page
for subcommand in subcommands:
    equal(run(subcommand, "--help"), run("help", subcommand), subcommand, "--help")
status, output, errors = run("help", "nonsense")
equal((status, output), (2, ""), "help nonsense")
check("nonsense" in errors and "scripts" in errors, errors)
equal(run("help", "connect", "proxy")[0], 2, "two topics")

# A command is a topic, too.
for command, words in (("map", ("FILE-OFFSET", "backend")), ("status", ("regions", "connect proxy")), ("virtio-fs", ("SETUPMAPPING", "connect"))):
    status, output, errors = run("help", command)
    equal((status, errors), (0, ""), "help", command)
    for word in (command, *words):
        check(word in output, word, output)

OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")
known = set(OPTION.findall(pages)) - {"--raw", "--later"}
man = (share / "man/man1/vhushmem-probe.1").read_text().replace("\\-", "-")
equal(set(OPTION.findall(man)) - {"--help"} | {"--help"}, known | {"--help"}, "options of the man page")
completion = (share / "bash-completion/completions/vhushmem-probe").read_text()
equal(set(OPTION.findall(completion)) | {"--help"}, known | {"--help"}, "options of the completion")
for option in sorted(known):
    status, _, errors = run("connect", option)
    check("Unknown option" not in errors, option, errors)


there = folder()
for name in ("session.pcapng", "socket"):
    open(os.path.join(there, name), "w").close()
os.mkdir(os.path.join(there, "folder"))


def complete(*words):
    """The words that bash offers for the last one."""
    text = f'source "{share}/bash-completion/completions/vhushmem-probe"\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vhushmem_probe; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", text, "bash", program(), *words], capture_output=True, text=True, timeout=PATIENCE_S, cwd=there)
    equal((done.returncode, done.stderr), (0, ""), "bash")
    return sorted(done.stdout.split())


equal(complete("re"), ["record", "replay"], "subcommands")
equal(complete("proxy", "--su"), ["--summary"], "options of proxy")
equal(complete("backend", "--conf"), ["--config-size"], "options of backend")
equal(complete("replay", "--re"), [], "options that replay does not have")
equal(complete("connect", "--holes", ""), ["fault", "zero"], "values")
equal(complete("connect", "--shmem-bit", ""), ["20", "21", "22"], "values")
equal(complete("help", "scr"), ["scripts"], "topics")
equal(complete("help", ""), sorted(topics), "all topics")
equal(complete("record", "ses"), ["session.pcapng"], "a file")
equal(complete("replay", "ses"), ["session.pcapng"], "a file")
equal(complete("connect", "so"), ["socket"], "a socket")
equal(complete("proxy", "--listen", "f"), ["folder"], "a folder")
equal(complete("connect", "--record", ""), ["folder", "session.pcapng", "socket"], "files")
equal(complete("proxy", "--only", "SHMEM"), ["SHMEM_MAP", "SHMEM_UNMAP"], "names of requests")
equal(complete("proxy", "--except", "main,GET_SHM"), ["main,GET_SHMEM_CONFIG"], "a name behind a comma")
names = complete("proxy", "--only", "")
check(len(names) > 50 and {"main", "channel", "IOTLB_MSG", "GET_VRING_BASE_SKIP_DRAIN"} <= set(names), names)
for device in complete("connect", "--device", ""):
    status, _, errors = run("connect", os.path.join(there, "nobody"), "--device", device)
    equal(status, 3, "exit status of --device", device, errors)
for name in names:
    status, _, errors = run("connect", os.path.join(there, "nobody"), "--only", name)
    equal(status, 3, "exit status of --only", name, errors)
status, _, errors = run("proxy", "--listen", "a", "--connect", "b", "--only", "SHMEM_*,NONSENSE")
equal(status, 2, "exit status of an unknown name")
check("NONSENSE" in errors, errors)
if shutil.which("man") is not None:
    done = subprocess.run(["man", "--warnings", "-l", share / "man/man1/vhushmem-probe.1"], capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C"})
    equal((done.returncode, done.stderr), (0, ""), "man")
