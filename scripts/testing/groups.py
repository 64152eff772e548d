"""The groups of tests: each has a function that returns its jobs."""

import dataclasses
import os
import platform
import re
import subprocess

from testing import suites
from testing.arm64 import arm64
from testing.guest import guest
from testing.interop import interop
from testing.kernels import kernels
from testing.kinds import RELEASE, STATIC, needs_package, needs_runtime, sanitized
from testing.runner import BUILD, ROOT, Test
from testing.sources import is_chosen, opts_in
from testing.swift import swift_tests, swift_tests_asan, swift_tests_tsan

SCRIPTS = ROOT / "scripts"

# People read headers in manual pages and next to a program, so headers are narrower than other files. scripts/format has the same style.
HEADER_WIDTH = 100
CLANG_FORMAT = "14"  # the version of Debian 12
HEADER_STYLE = f"--style={{BasedOnStyle: InheritParentConfig, ColumnLimit: {HEADER_WIDTH}}}"


def files(*patterns):
    """Files of the repository, without those of a build."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.relative_to(ROOT).parts[0] not in ("build", ".build"))


def needs_clang_format():
    """Why the format of the C code is not checked; empty: it is. Each version formats a few lines in another way."""
    done = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)", done.stdout)
    return "" if found and found[1] == CLANG_FORMAT else f"the format is that of clang-format {CLANG_FORMAT}, and this is {found[1] if found else 'none'}"


def lint():
    folders = ("include", "Sources", "Tests", "bench", "demo", "examples", "tools")
    headers = files(*(f"{folder}/**/*.h" for folder in folders))
    c_code = files(*(f"{folder}/**/*.{suffix}" for folder in folders for suffix in ("c", "cpp")))
    swift_code = files("Package.swift", *(f"{folder}/**/*.swift" for folder in ("Sources", "Tests", "bench", "examples")))
    scripts = [path for path in files("scripts/*", ".ci/*", "Tests/abi/*", "Tests/package/*", "debian/tests/*") if "bash" in path.open(errors="replace").readline()]
    return [
        Test("C is formatted", ["clang-format", "--dry-run", "-Werror", *c_code], not_run=needs_clang_format()),
        Test("headers are formatted", ["clang-format", HEADER_STYLE, "--dry-run", "-Werror", *headers], not_run=needs_clang_format()),
        Test("headers are narrow", [SCRIPTS / "check-width", str(HEADER_WIDTH), *headers]),
        Test("Swift is formatted", ["swift", "format", "lint", "--strict", "--parallel", *swift_code], not_run=needs_package()),
        Test("clang's analyzer", [SCRIPTS / "analyze"], time_limit=900),
        Test("layers", [SCRIPTS / "check-layers"], time_limit=900, not_run=needs_package()),
        Test("Swift face", [SCRIPTS / "check-swift-face"], time_limit=900, not_run=needs_package()),
        Test("documentation", [SCRIPTS / "docs", "man", "api", "links"], time_limit=900),
        Test("plain English", [SCRIPTS / "check-english"]),
        Test("licences", [SCRIPTS / "check-licences"]),
        Test("scripts parse", ["bash", "-c", 'for script; do bash -n "$script" || exit 1; done', "-", *scripts]),
    ]


def valgrind():
    command = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect"]
    # Its reports do not name inlined functions: to read their names takes a sixth of the group's time.
    command += ["--errors-for-leak-kinds=definite,indirect", "--num-callers=24", "--read-inline-info=no", "--vgdb=no"]
    suppressions = ROOT / "Tests" / "C" / "valgrind.supp"
    if suppressions.exists():
        command.append(f"--suppressions={suppressions}")

    def under(source):
        # An instruction that raises a signal and runs again needs its registers as they were. That is slower.
        raises = re.search(r'vhushmem_guard_|"(guard|dax)-rig\.h"', source.read_text())
        return [*command, *(["--vex-iropt-register-updates=allregs-at-mem-access"] if raises else [])]

    return suites.c_tests(RELEASE, under=under, group="valgrind", time_limit=900)


def asan():
    # The program itself sets this exit status, so that a report never looks like a skipped test.
    environment = {
        "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1",
    }
    kind = sanitized("asan")
    jobs = suites.c_tests(kind, group="asan", environment=environment, time_limit=600)
    jobs += suites.hostile(kind, environment) + suites.virtiofs(kind, environment, "asan")
    return jobs + suites.python_tests(kind, "probe", environment, group="asan")


def tsan():
    # The guard handles SIGBUS, so it must not be reported.
    environment = {"TSAN_OPTIONS": "exitcode=99:handle_sigbus=0"}
    kind = sanitized("tsan")
    return suites.c_tests(kind, group="tsan", environment=environment, time_limit=600, is_in=lambda source: opts_in(source, "tsan"))


def scripts_of(folder):
    return [path for path in sorted((ROOT / "Tests" / folder).iterdir()) if os.access(path, os.X_OK) and path.is_file()]


def abi():
    of_package = ("forgotten-lock-does-not-compile", "layers-check-sees-violations")
    tests = [
        Test(path.stem, [path], RELEASE.environment, time_limit=600, build=RELEASE.build, not_run=needs_package() if path.stem in of_package else "")
        for path in scripts_of("abi")
        if is_chosen(path.stem)
    ]
    # The counts are exact, so this is no benchmark: it finds each change that raises a count above its limit.
    others = "" if platform.machine() == "x86_64" and not needs_package() else "the limits are those of x86_64 and of Swift 6.3"
    few = [
        Test(name, [SCRIPTS / "bench", "--only", *words, "--check"], time_limit=600, not_run=others)
        for name, *words in (
            ("instructions-per-map-are-few", "instructions"),
            ("instructions-per-chain-are-few", "queue"),
            ("idle-front-ends-cost-a-loop-little", "idle", "--quick"),
        )
        if is_chosen(name)
    ]
    return [RELEASE.build_peers, *tests, *few]


def package():
    """Builds of their own, so they take long."""
    return [Test(path.stem, [path], {"VHUSHMEM_SOURCE": str(ROOT)}, time_limit=3600) for path in scripts_of("package") if is_chosen(path.stem)]


def models():
    """What the lock-free parts claim, by every execution that the memory model of C allows."""
    return [Test(path.stem, [SCRIPTS / "check-model", path], time_limit=900) for path in files("Tests/models/*.litmus") if is_chosen(path.stem)]


def demo():
    command = [SCRIPTS / "demo"]
    return [Test("demo", command), Test("demo without KVM", command, {"VHUSHMEM_DEMO_NO_KVM": "1"})]


# A package by itself. It is built here and not in its folder. All examples in Swift share the library that is built for the first.
SWIFT_EXAMPLE = ["flock", BUILD / "swift-examples.lock", "swift", "run", "--quiet", "--package-path", "examples/swift-window", "--scratch-path", "build/swift-examples"]


def example():
    vmms = ["front-end", "poll-loop", "channel-only", "qemu-style", "file-window"]
    tests = [Test(name, [SCRIPTS / "run-example", name]) for name in vmms]
    tests.append(Test("swift-device", [SCRIPTS / "run-example", "swift-device"], time_limit=1800, not_run=needs_package()))
    return [*tests, Test("swift-window", [*SWIFT_EXAMPLE, "swift-window"], time_limit=1800, not_run=needs_package())]


FUZZ_SECONDS = 60


def fuzz():
    """Each target over its corpus, which takes seconds; with --long each then looks for new inputs."""
    script = SCRIPTS / "fuzz"
    targets = subprocess.run([script, "--list"], check=True, capture_output=True, text=True).stdout.split()
    tests = [Test(target, [script, "--corpus", target]) for target in targets]
    if os.environ.get("VHUSHMEM_TEST_LONG"):
        command = [script, "--seconds", FUZZ_SECONDS]
        tests += [Test(f"{target} for {FUZZ_SECONDS} s", [*command, target], time_limit=FUZZ_SECONDS + 300) for target in targets]
    return tests


def of_package(job):
    reason = needs_package()
    return [Test("swift test", [], not_run=reason) if reason else job]


@dataclasses.dataclass(frozen=True)
class Entry:
    title: str
    jobs: object  # a function that returns them
    needs: str = ""  # the build that comes first: "release" is that of scripts/build; others are for this group alone
    sanitizer: str = ""  # the one whose runtime the build and the tests need
    is_long: bool = False  # only with --long, or by name


GROUPS = {
    "lint": Entry("lint", lint),
    "c": Entry("C tests", lambda: suites.c_tests(RELEASE), "release"),
    "probe": Entry("vhushmem-probe", lambda: suites.python_tests(RELEASE, "probe"), "release"),
    "json": Entry("the library's JSON", lambda: suites.python_tests(RELEASE, "json"), "release"),
    "kvm": Entry("C tests with a guest", lambda: suites.c_tests(RELEASE, "kvm"), "release"),
    "hostile": Entry("hostile back-ends", suites.hostile, "release"),
    "virtiofs": Entry("vhushmem-virtiofs", suites.virtiofs, "release"),
    "abi": Entry("what is installed", abi, "release"),
    "demo": Entry("demo", demo, "release"),
    "valgrind": Entry("C tests under valgrind", valgrind, "release"),
    "asan": Entry("C tests with AddressSanitizer", asan, "asan", "address"),
    "tsan": Entry("C tests with ThreadSanitizer", tsan, "tsan", "thread"),
    "swift": Entry("Swift tests", lambda: of_package(swift_tests)),
    # The build of each takes minutes.
    "swift-asan": Entry("Swift tests with AddressSanitizer", lambda: of_package(swift_tests_asan), is_long=True),
    "swift-tsan": Entry("Swift tests with ThreadSanitizer", lambda: of_package(swift_tests_tsan), is_long=True),
    "example": Entry("examples", example, "release"),
    "fuzz": Entry("fuzz targets", fuzz, "fuzz", "address"),
    "static": Entry("C tests, the Swift runtime linked in", lambda: suites.c_tests(STATIC, group="static"), "static", is_long=True),
    "package": Entry("packages and builds elsewhere", package, is_long=True),
    "kernels": Entry("C tests on other kernels", kernels, "release", is_long=True),
    "models": Entry("memory models", models, is_long=True),
    "arm64": Entry("C tests and hostile back-ends on arm64", arm64, is_long=True),
    "interop": Entry("programs of other projects", interop, "release", is_long=True),
    "guest": Entry("a Linux guest", guest, "release", is_long=True),
}
