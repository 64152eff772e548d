/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_FD_ALLOW_BEYOND_END, pages beyond the end of a file can be mapped. They appear when the file grows. */
#include "rig.h"

static const vhushmem_region_options options = {.struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END};

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    ok(rig_map(r, fd, 0, 0, 4 * page, 0));
    shows(r->region, 0, page, 1, 0);
    CHECK(!readable((char *)vhushmem_region_window(r->region) + page));
    fill(fd, 4 * page, 1);
    shows(r->region, 0, 4 * page, 1, 0);

    /* A wrap-around is not "beyond the end". */
    rig_refuses(r, rig_map(r, fd, 0 - page, 4 * page, 2 * page, 0), -EOVERFLOW);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, &options);
    return 0;
}
