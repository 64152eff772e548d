"""Folders of tests as jobs for the runner: programs in C, tables of hostile cases, scripts in Python."""

import functools
import re
import sys
import tempfile

from testing.kinds import RELEASE
from testing.runner import FAIL, PASS, SKIP, SKIPPED_STATUS, Result, Test, run, verdict
from testing.sources import c_tests_of, opt_out, python_tests_of, scale


def c_tests(kind, folder="C", under=lambda _: (), group="", environment=None, time_limit=300, is_in=lambda _: True):
    """`under` gives the program that a test runs under, `is_in` says whether the group has the test. `group` is the name in the tests' comments."""
    tests = [
        Test(
            name=source.stem,
            command=[*under(source), kind.program(source)],
            environment={**kind.environment, **(environment or {}), **(scale(source, group) if group else {})},
            time_limit=time_limit,
            not_run=opt_out(source, group) if group else "",
            build=functools.partial(kind.build, source),
        )
        for source in c_tests_of(folder)
        if is_in(source)
    ]
    return [kind.build_peers, *tests]


def python_tests(kind, folder, environment=None, group=""):
    tests = [
        Test(
            name=f"{folder}/{source.stem}",
            command=[sys.executable, "-B", source],
            environment={**kind.environment, **(environment or {})},
            not_run=opt_out(source, group) if group else "",
            build=kind.build,
        )
        for source in python_tests_of(folder)
    ]
    return [kind.build_peers, *tests]


def cases_of(log):
    """Reads the report of a hostile program: a result for each name of a case."""
    cases, faults, note = {}, "", ""
    for line in log.splitlines():
        match = re.match(r"case (.*): (ok|skip|FAIL)(?: \((.*)\))?$", line)
        if match:
            outcome = {"ok": PASS, "skip": SKIP, "FAIL": FAIL}[match[2]]
            if match[1] not in cases or cases[match[1]].outcome != FAIL:
                detail = "; ".join(filter(None, (match[3], note)))
                cases[match[1]] = Result(outcome, match[1], detail=detail, log=faults + line)
            faults, note = "", ""
        elif line.startswith("note: "):
            note = line.removeprefix("note: ")
        else:
            faults += line + "\n"
    return cases


def results_of(name, status, log):
    """The results of a program that prints first the number of its cases, and then the result of each. Each case is a test."""
    cases = cases_of(log)
    results = list(cases.values())
    for result in results:
        result.name = f"{name}: {result.name}"
    announced = re.search(r"^cases (\d+)$", log, re.MULTILINE)
    if not announced and status == SKIPPED_STATUS:
        outcome, detail = verdict(status, log)
        return [Result(outcome, name, detail=detail)]
    wanted = int(announced[1]) if announced else 0
    if not wanted or len(cases) != wanted:
        results.append(Result(FAIL, name, detail=f"{len(cases)} of {wanted} cases were run", log=log))
    elif status != 0 and not any(result.outcome == FAIL for result in results):
        results.append(Result(FAIL, name, detail=f"status {status}", log=log))
    return results


def hostile_program(kind, source, environment):
    name = f"{source.parent.name}/{source.stem}"
    log = kind.build(source)
    if log is not None:
        return [Result(FAIL, name, detail="does not build", log=log)]
    with tempfile.TemporaryDirectory(prefix="vhu-") as folder:
        status, log = run([kind.program(source)], {**kind.environment, **environment, "TMPDIR": folder}, time_limit=900)
    return results_of(source.stem, status, log)


def hostile(kind=RELEASE, environment=None, folder="hostile"):
    programs = [functools.partial(hostile_program, kind, source, environment or {}) for source in c_tests_of(folder)]
    return [kind.build_peers, *programs]


def virtiofs(kind=RELEASE, environment=None, group=""):
    """The device program: its tests, and hostile guests."""
    tests = c_tests(kind, "virtiofs", environment=environment, group=group)
    return [*tests, *hostile(kind, environment, "virtiofs-hostile")]
