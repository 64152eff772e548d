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
equal(sorted(topics), sorted([*subcommands, "commands", "driver", "scripts", "json", "exit"]), "topics")
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

OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")
known = set(OPTION.findall(pages)) - {"--raw", "--later"}
man = (share / "man/man1/vhushmem-probe.1").read_text().replace("\\-", "-")
equal(set(OPTION.findall(man)) - {"--help"} | {"--help"}, known | {"--help"}, "options of the man page")
completion = (share / "bash-completion/completions/vhushmem-probe").read_text()
equal(set(OPTION.findall(completion)) | {"--help"}, known | {"--help"}, "options of the completion")
for option in sorted(known):
    status, _, errors = run("connect", option)
    check("Unknown option" not in errors, option, errors)


def complete(*words):
    text = f'source "{share}/bash-completion/completions/vhushmem-probe"\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vhushmem_probe; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", text, "bash", *words], capture_output=True, text=True, timeout=PATIENCE_S, cwd=folder())
    equal((done.returncode, done.stderr), (0, ""), "bash")
    return done.stdout.split()


equal(complete("vhushmem-probe", "re"), ["record", "replay"], "subcommands")
equal(complete("vhushmem-probe", "proxy", "--su"), ["--summary"], "options of proxy")
equal(complete("vhushmem-probe", "connect", "--holes", ""), ["fault", "zero"], "values")
equal(complete("vhushmem-probe", "help", "scr"), ["scripts"], "topics")
if shutil.which("man") is not None:
    done = subprocess.run(["man", "--warnings", "-l", share / "man/man1/vhushmem-probe.1"], capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C"})
    equal((done.returncode, done.stderr), (0, ""), "man")
