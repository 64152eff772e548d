"""The Swift tests: one program, whose report has a line for each test."""

import re
import time

from testing.runner import FAIL, PASS, SKIP, Result, run

# With this the library asks the tests before each system call (Package.swift).
ENVIRONMENT = {"VHUSHMEM_FAULT_INJECTION": "1"}


def swift_test(*options, environment=None):
    """`swift test` with these options, as results of the tests that it ran."""
    began = time.monotonic()
    command = ["swift", "test", "--disable-xctest", *options]
    status, log = run(command, {**ENVIRONMENT, **(environment or {})}, time_limit=3600)
    results, started, ended = [], set(), set()
    for line in log.splitlines():
        match = re.match(r"◇ Test (?!case |run )(.*) started\.$", line)
        if match:
            started.add(match[1])
            continue
        match = re.match(r'➜ Test (?!case |run )(.*?) (?:skipped|was cancelled[^:]*)(?:: "(.*)")?', line)
        if match:
            ended.add(match[1])
            results.append(Result(SKIP, match[1], detail=match[2] or ""))
            continue
        ending = r"(?: with \d+ test cases?)? (?:passed|failed) after ([\d.]+) seconds"
        match = re.match(r"([✔✘]) Test (?!case |run )(.*?)" + ending, line)
        if match:
            ended.add(match[2])
            mine = [issue for issue in log.splitlines() if match[2] in issue and "recorded an issue" in issue]
            results.append(Result(PASS if match[1] == "✔" else FAIL, match[2], float(match[3]), log="\n".join(mine)))
    # Lines sometimes get lost if processes write at the same time. The whole report does not.
    all_passed = status == 0 and re.search(r"✔ Test run with \d+ tests? .*passed", log) is not None
    for name in sorted(started - ended):
        results.append(Result(PASS if all_passed else FAIL, name, detail="by the report as a whole" if all_passed else "did not end"))
    if status != 0 and not any(result.outcome == FAIL for result in results):
        # A sanitizer has reported something, or there is no program to run. The compiler's warnings would push its errors out of the report.
        errors = [line for line in dict.fromkeys(log.splitlines()) if re.search(r"^/\S+: error: ", line)]
        reports = re.findall(r"(?:WARNING|ERROR): \w+Sanitizer: .*?(?=\n=====|\Z)", log, re.DOTALL)
        log = "\n".join(errors or reports) or log
        results.append(Result(FAIL, "swift test", time.monotonic() - began, f"status {status}", log))
    return results


def swift_tests():
    return swift_test()


def swift_tests_asan():
    """All of them, in a build of their own."""
    options = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:allocator_may_return_null=1"}
    return swift_test("--sanitize=address", "--scratch-path", ".build/asan", environment=options)


def swift_tests_tsan():
    """Those in which threads share something, or tasks a session: a test for each type of which the compiler was told to believe it."""
    # The guard handles SIGBUS, so it must not be reported.
    options = {"TSAN_OPTIONS": "exitcode=99:handle_sigbus=0"}
    threads = "RaceTests|DeviceTests|MappingTableTests|PageIndexTests|Async\\w*Tests|QueueWorkerTests"
    return swift_test("--sanitize=thread", "--scratch-path", ".build/tsan", "--filter", threads, environment=options)
