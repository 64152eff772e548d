# SPDX-License-Identifier: BSD-3-Clause
"""read --raw shows bytes unchanged, even through a pipe, and the answer says how many. With --dax a mapping may take the place of one
like it."""
from _probe import *


def talk(path, text, *arguments):
    done = subprocess.run([program(), "connect", path, *arguments], input=text.encode(), capture_output=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout


def mapped(backend, request):
    """Answers GET_SHMEM_CONFIG, and maps a page a moment later."""

    def run():
        backend.map(memfd(2 * PAGE), 0, 2 * PAGE)

    send_message(backend.main, request, VERSION | REPLY, backend.config())
    threading.Thread(target=run, daemon=True).start()


for command in ("read", "touch"):
    with Backend(answers={GET_SHMEM_CONFIG: mapped}).listen() as backend:
        status, output = talk(backend.path, f"wait map 1 60\n{command} 0 8 5000 --raw\nexpect hex {pattern(16)[8:].hex()}\nexpect ok\n")
        equal(status, 0, "exit status", output)
        wanted = pattern(2 * PAGE)[8:5008]
        check(wanted in output, "the bytes are not there")
        check(f"raw 5000".encode() in output.replace(wanted, b""), output.replace(wanted, b""))
with Backend(answers={GET_SHMEM_CONFIG: mapped}).listen() as backend:
    status, output = talk(backend.path, "wait map 1 60\nread 0 0 8 --raw\nexpect error json\nread 0 0 8 --nonsense\nexpect error --raw\n", "--json")
    equal(status, 0, "exit status", output)

# A mapping that takes the place of one like it, and one beyond the end of its file: only with --dax.
for arguments, results in ((["--dax"], [0, 0, 0]), ([], [0, -errno.EEXIST, -errno.EOVERFLOW])):
    with together(*arguments) as (backend, probe):
        fd = memfd(PAGE)
        equal([backend.map(fd, 0, PAGE), backend.map(fd, 0, PAGE, rw=True), backend.map(fd, 4 * PAGE, 3 * PAGE)], results, *arguments)
        for result in results:
            probe.event("map", result=result)
        equal(probe.read(0, 8), pattern(8), "what is mapped")
        probe.quit()
        os.close(fd)
