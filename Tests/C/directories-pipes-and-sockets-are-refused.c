/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that cannot be mapped are refused with ENODEV: directories, pipes, sockets, eventfds. */
#include "rig.h"

#include <sys/eventfd.h>

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int pipes[2], sockets[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    int fds[] = {open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                 open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                 pipes[0],
                 pipes[1],
                 sockets[0],
                 eventfd(0, EFD_CLOEXEC)};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        CHECK(fds[i] >= 0);
        rig_refuses(r, rig_map(r, fds[i], 0, 0, page, 0), -ENODEV);
        if (i != 2 && i != 3) {
            close(fds[i]);
        }
    }
    close(pipes[0]);
    close(pipes[1]);
    close(sockets[1]);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
