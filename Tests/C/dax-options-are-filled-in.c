/* SPDX-License-Identifier: BSD-3-Clause */
/* vhushmem_region_options_for_dax: maps beyond the end are accepted, one more map makes a chunk writable, and all else is
   the default. */
#include "rig.h"

static vhushmem_region_options options;

static void facts(rig *r)
{
    int file = memfd_of(2 * PAGE, 1);
    ok(rig_map(r, file, 0, 4 * PAGE, 8 * PAGE, 0));
    CHECK(!writable((char *)vhushmem_region_window(r->region) + 4 * PAGE));
    ok(rig_map(r, file, 0, 4 * PAGE, 8 * PAGE, VHOST_USER_FLAG_MAP_RW));
    CHECK(writable((char *)vhushmem_region_window(r->region) + 4 * PAGE));
    EQ(vhushmem_region_mapping_count(r->region), 1);
    shows(r->region, 4 * PAGE, 2 * PAGE, 1, 0);
    rig_refuses(r, rig_unmap(r, 4 * PAGE, 0), -EINVAL);
    ok(rig_unmap(r, 4 * PAGE, 8 * PAGE));
    close(file);
}

int main(void)
{
    memset(&options, 0x55, sizeof(options));
    options.struct_size = sizeof(options);
    ok(vhushmem_region_options_for_dax(&options));
    vhushmem_region_options wanted = {
        .struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END, .flags = VHUSHMEM_REGION_REPLACE};
    CHECK(memcmp(&options, &wanted, sizeof(options)) == 0);
    memset(&options, 0x55, sizeof(options));
    options.struct_size = 0;
    ok(vhushmem_region_options_for_dax(&options));
    CHECK(memcmp(&options, &wanted, sizeof(options)) == 0);

    /* In a struct of a later version, the new fields are 0. A struct without a size is refused. */
    struct {
        vhushmem_region_options known;
        uint64_t later;
    } longer = {.known.struct_size = sizeof(longer), .later = UINT64_MAX};
    ok(vhushmem_region_options_for_dax(&longer.known));
    EQ(longer.known.struct_size, sizeof(longer));
    EQ(longer.later, 0);
    longer.known.struct_size = 12;
    err(vhushmem_region_options_for_dax(&longer.known), -EINVAL);
    err(vhushmem_region_options_for_dax(NULL), -EFAULT);
    through_every_door(facts, 16 * PAGE, NULL, &options);
    return 0;
}
