/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region that keeps descriptors keeps a bounded number: 256 for a device, or as many as its options say. All devices
 * together keep at most half of what the process may have open. Beyond that a map is refused with ENOSPC; after an unmap the
 * next one works. A map in the place of another works at once, because it gives the other's descriptor back.
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
    r.no_spare_page = true; /* no further descriptor can be kept */
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

static void in_place(void)
{
    static const vhushmem_region_options replaces = {.struct_size = sizeof(replaces),
                                                     .flags = VHUSHMEM_REGION_KEEP_FDS | VHUSHMEM_REGION_REPLACE};
    rig r;
    vhushmem_device_options device = {.struct_size = sizeof(device), .max_kept_fds = 3};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .device = &device, .region = &replaces};
    rig_open(&r, 1024 * PAGE, &options);
    r.no_spare_page = true;
    int fd = memfd_of(2 * PAGE, 1);
    for (uint64_t i = 0; i < 3; i++) {
        EQ(rig_map(&r, fd, 0, 2 * i * PAGE, PAGE, 0), 0);
    }
    for (uint64_t i = 0; i < 30; i++) {
        EQ(rig_map(&r, fd, PAGE * (i % 2), 2 * (i % 3) * PAGE, PAGE, i % 4 < 2 ? VHOST_USER_FLAG_MAP_RW : 0), 0);
    }
    rig_refuses(&r, rig_map(&r, fd, 0, PAGE, PAGE, 0), -ENOSPC, "3");
    rig_refuses(&r, rig_map(&r, fd, 0, 0, 2 * PAGE, 0), -ENOSPC, "3");
    /* A program that holds the other mapping still has its descriptor. The region keeps one more for that, and no second
       one. */
    vhushmem_mapping *held = some(vhushmem_region_find_mapping(r.region, 0, PAGE));
    EQ(rig_map(&r, fd, 0, 0, PAGE, 0), 0);
    rig_refuses(&r, rig_map(&r, fd, PAGE, 0, PAGE, 0), -ENOSPC, "3");
    vhushmem_mapping_unref(held);
    EQ(rig_map(&r, fd, PAGE, 0, PAGE, 0), 0);
    EQ(vhushmem_region_mapping_count(r.region), 3);
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
    in_place();
    limit.rlim_cur = 200;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    quota(0, 100, "100");
    return 0;
}
