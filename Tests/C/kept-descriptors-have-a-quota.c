/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region that keeps descriptors keeps a bounded number: 256 for a device, or as many as its options say, and half of what the process may
 * have open for all devices together. Then a map is refused with ENOSPC; after an unmap the next one works.
 */
#include "rig.h"

#include <sys/resource.h>

static const vhushmem_region_options keeps = {.struct_size = sizeof(keeps), .flags = VHUSHMEM_REGION_KEEP_FDS};

static void quota(uint64_t asked, uint64_t granted, const char *words)
{
    rig r;
    vhushmem_device_options device = {.struct_size = sizeof(device), .max_kept_fds = asked};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .device = &device, .region = &keeps};
    rig_open(&r, 1024 * PAGE, &options);
    r.no_spare_page = true; /* nothing more can be kept */
    int fd = memfd_of(PAGE, 1);
    for (uint64_t i = 0; i < granted; i++) {
        EQ(rig_map(&r, fd, 0, i * PAGE, PAGE, 0), 0);
    }
    rig_refuses(&r, rig_map(&r, fd, 0, granted * PAGE, PAGE, 0), -ENOSPC, words);
    EQ(rig_unmap(&r, 0, PAGE), 0);
    EQ(rig_map(&r, fd, 0, granted * PAGE, PAGE, 0), 0);
    close(fd);
    rig_close(&r);
}

int main(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = MIN(limit.rlim_max, 1024);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    quota(0, 256, "256");
    quota(3, 3, "3");
    limit.rlim_cur = 200;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    quota(0, 100, "100");
    return 0;
}
