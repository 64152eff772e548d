/* SPDX-License-Identifier: BSD-3-Clause */
/* A MAP that comes with more than one descriptor is refused with EINVAL, and all of them are closed. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    int fds[8] = {fd, fd, fd, fd, fd, fd, fd, fd};
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    for (int n = 2; n <= 8; n++) {
        rig_refuses(&r, rig_request(&r, MAP, &m, sizeof(m), fds, n), -EINVAL);
    }
    close(fd);
    rig_close(&r);
    return 0;
}
