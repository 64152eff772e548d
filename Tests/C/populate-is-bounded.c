/* SPDX-License-Identifier: BSD-3-Clause */
/* VHUSHMEM_REGION_POPULATE faults in the beginning of a large mapping: 16 MiB, or as much as populate_max says. The rest
   comes when it is used. */
#include "rig.h"

#define MIB (UINT64_C(1) << 20)

/* How much of a memfd is in memory after it was mapped. */
static uint64_t populated(uint64_t populate_max, uint64_t length)
{
    rig r;
    struct stat status;
    vhushmem_region_options options = {
        .struct_size = sizeof(options), .flags = VHUSHMEM_REGION_POPULATE, .populate_max = populate_max};
    int fd = memfd_create("sparse", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)length) == 0);
    rig_open_plain(&r, 128 * MIB, NULL, &options);
    ok(vhushmem_region_map(r.region, fd, 0, 0, length, VHOST_USER_FLAG_MAP_RW, &error));
    CHECK(fstat(fd, &status) == 0);
    *((volatile char *)vhushmem_region_window(r.region) + length - 1) = 1; /* the rest can be used nevertheless */
    rig_close(&r);
    close(fd);
    return (uint64_t)status.st_blocks * 512;
}

int main(void)
{
    EQ(populated(0, 4 * MIB), 4 * MIB);
    EQ(populated(0, 16 * MIB), 16 * MIB);
    EQ(populated(0, 64 * MIB), 16 * MIB);
    EQ(populated(2 * MIB, 64 * MIB), 2 * MIB);
    EQ(populated(64 * MIB, 64 * MIB), 64 * MIB);
    return 0;
}
