/* SPDX-License-Identifier: BSD-3-Clause */
/* An UNMAP that comes with a descriptor is refused with EINVAL, and the descriptor is closed. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1), fds[2] = {fd, fd};
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    rig_refuses(&r, rig_request(&r, UNMAP, &m, sizeof(m), fds, 1), -EINVAL);
    rig_refuses(&r, rig_request(&r, UNMAP, &m, sizeof(m), fds, 2), -EINVAL);
    shows(r.region, 0, page, 1, 0);
    ok(rig_request(&r, UNMAP, &m, sizeof(m), NULL, 0));
    close(fd);
    rig_close(&r);
    return 0;
}
