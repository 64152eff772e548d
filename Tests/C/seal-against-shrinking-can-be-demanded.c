/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_FD_REQUIRE_SEAL_SHRINK only memfds that cannot shrink are mapped. All other files are refused with EPERM. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    FILE *file = tmpfile();
    CHECK(file != NULL && zero >= 0);
    fill(fileno(file), page, 2);
    r->no_spare_page = true; /* its memfd is not sealed */
    rig_refuses(r, rig_map(r, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW), -EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
    rig_refuses(r, rig_map(r, fd, 0, 0, page, 0), -EPERM);
    rig_refuses(r, rig_map(r, fileno(file), 0, 0, page, 0), -EPERM);
    rig_refuses(r, rig_map(r, zero, 0, 0, page, 0), -EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    ok(rig_map(r, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW));
    shows(r->region, 0, page, 1, 0);
    fclose(file);
    close(zero);
    close(fd);
}

int main(void)
{
    vhushmem_region_options options = {.struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_REQUIRE_SEAL_SHRINK};
    through_every_door(facts, 16 * PAGE, NULL, &options);
    return 0;
}
