"""The kinds of build: a build of the library, and how test programs are compiled for it."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import threading

from testing.runner import BUILD, FAIL, ROOT, STAGE, Result, run
from testing.sources import c_sources


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    stage: pathlib.Path
    cc: str = "cc"
    cxx: str = "c++"
    # The environment adds flags for compilers that need more (Tests/package/sid-s-compiler-builds-it).
    flags: tuple = ("-O1", *os.environ.get("VHUSHMEM_TEST_CFLAGS", "").split())
    peers_lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def programs(self):
        return BUILD / "tests" / self.name

    @functools.cached_property
    def package(self):
        environment = {**os.environ, "PKG_CONFIG_PATH": str(self.stage / "lib" / "pkgconfig")}
        command = ["pkg-config", "--cflags", "--libs", "vhushmem"]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()

    @functools.cached_property
    def environment(self):
        """The environment of a test."""
        return {
            "VHUSHMEM_PEERS": str(self.programs / "peers"),
            "VHUSHMEM_PROBE": str(self.stage / "bin" / "vhushmem-probe"),
            "VHUSHMEM_VIRTIOFS": str(self.stage / "bin" / "vhushmem-virtiofs"),
            "VHUSHMEM_STAGE": str(self.stage),
            "VHUSHMEM_LIBRARY": str(self.stage / "lib" / "libvhushmem.so"),
            "VHUSHMEM_SOURCE": str(ROOT),
            # Older releases of GLib allocate in slices, which would hide leaks.
            "G_SLICE": "always-malloc",
        }

    @property
    def compiler_in_c(self):
        return [self.cc, *self.flags]

    @property
    def compiler_in_cxx(self):
        return [self.cxx, *self.flags]

    def program(self, source):
        return self.programs / source.parent.name / source.name.replace(".", "-")

    def peer(self, source):
        return self.programs / "peers" / source.stem

    def compile(self, source, program):
        """Compiles unless the program is newer than all that it is made of. Returns the log of a failure, or None."""
        made_of = [source, *source.parent.glob("*.h"), *(ROOT / "Tests" / "C").glob("*.h")]
        made_of += [*(self.stage / "include" / "vhushmem").glob("*.h"), self.stage / "lib" / "libvhushmem.so"]
        if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in made_of):
            return None
        program.parent.mkdir(parents=True, exist_ok=True)
        compiler = [*self.compiler_in_cxx, "-std=c++17"] if source.suffix == ".cpp" else [*self.compiler_in_c, "-std=gnu11"]
        command = [*compiler, "-g", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "Tests" / "C", source]
        # It is built under another name and then moved: another group may be running the old one.
        made = program.with_name(f"{program.name}.{threading.get_ident()}")
        command += ["-o", made, *self.package, f"-Wl,-rpath,{self.stage / 'lib'}", "-pthread"]
        status, log = run(command, time_limit=120)
        if status != 0:
            return log
        made.rename(program)
        return None

    def build_peers(self):
        """Compiles the programs that tests run as other processes. A job: it has a result for each that does not build."""
        with self.peers_lock:
            logs = {source.stem: self.compile(source, self.peer(source)) for source in c_sources("C/peers")}
        return [Result(FAIL, f"peers/{name}", detail="does not build", log=log) for name, log in logs.items() if log is not None]

    def build(self, source=None):
        """Compiles the peers, and a test if it is one in C. Returns the log of a test that does not compile, or None."""
        self.build_peers()
        return self.compile(source, self.program(source)) if source else None


@dataclasses.dataclass(frozen=True)
class CrossKind(Kind):
    """A build for another kind of processor, with Clang and the libraries in `sysroot`."""

    sysroot: pathlib.Path = None
    triple: str = ""

    @property
    def compiler_in_c(self):
        return [self.cc, f"--target={self.triple}", f"--sysroot={self.sysroot}", "-fuse-ld=lld", *self.flags]

    @property
    def compiler_in_cxx(self):
        return [f"{self.cc}++", *self.compiler_in_c[1:]]

    @functools.cached_property
    def package(self):
        folders = [self.sysroot / "usr/lib" / self.triple / "pkgconfig", self.sysroot / "usr/share/pkgconfig"]
        environment = {
            **os.environ,
            "PKG_CONFIG_SYSROOT_DIR": str(self.sysroot),
            "PKG_CONFIG_LIBDIR": ":".join(map(str, folders)),
        }
        command = ["pkg-config", "--cflags", "--libs", "glib-2.0"]
        glib = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        # pkg-config puts the sysroot before the paths of a .pc file. The library is outside of it, so its .pc file cannot be used.
        return ["-I", str(self.stage / "include"), "-L", str(self.stage / "lib"), "-lvhushmem", *glib]


RELEASE = Kind("release", STAGE)
STATIC = Kind("static", BUILD / "stage-static")


def toolchain(what):
    command = [ROOT / "scripts" / "toolchain", what]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@functools.cache
def needs_package():
    """Why tests that compile the Swift package are not run; empty: they are."""
    version = toolchain("version")
    is_new = tuple(map(int, version.split(".")[:2])) >= (6, 3)
    return "" if is_new else f"the Swift package takes Swift 6.3, and this one is {version}"


@functools.cache
def needs_runtime(name):
    """Why tests with a sanitizer are not run; empty: they are. The Swift of a distribution may come without the runtimes, or with broken ones."""
    if name not in ("address", "thread"):
        return ""
    extra = toolchain("tsan-link-args").split() if name == "thread" else []
    command = [toolchain("clang"), f"-fsanitize={name}", "-x", "c", "-", "-o", "/dev/null", *extra]
    done = subprocess.run(command, input="int main(void) { return 0; }", capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"this Swift has no runtime of the {name} sanitizer"


@functools.cache
def sanitized(name):
    # Swift uses the sanitizer runtime of its own Clang.
    clang = toolchain("clang")
    flags = {
        # With -O1 the compiler would need half of the group's time.
        "asan": ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        "tsan": ["-O1", "-fsanitize=thread", *toolchain("tsan-link-args").split()],
    }
    return Kind(name, BUILD / f"stage-{name}", clang, f"{clang}++", tuple(flags[name]))
