/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_REGION_UNMAP_BY_OFFSET an unmap undoes the mapping that begins at its offset, whatever its length says. */
#include "rig.h"

static const vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_UNMAP_BY_OFFSET};

static void facts(rig *r)
{
    static const uint64_t lengths[] = {0, 1, 100, 3 * 4096, 1 << 30, UINT64_MAX};
    int file = memfd_of(3 * PAGE, 1);
    r->unmaps_by_offset = true;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char *before = window_now(r->region);
        ok(rig_map(r, file, 0, 4 * PAGE, 3 * PAGE, 0));
        ok(rig_map(r, file, 0, 7 * PAGE, PAGE, 0));
        ok(rig_unmap(r, 4 * PAGE, lengths[i]));
        if (r->wire) {
            EQ(r->last.len, 3 * PAGE);
        }
        CHECK(!readable((char *)vhushmem_region_window(r->region) + 6 * PAGE));
        shows(r->region, 7 * PAGE, PAGE, 1, 0);
        ok(rig_unmap(r, 7 * PAGE, lengths[i]));
        EQ(vhushmem_region_mapping_count(r->region), 0);
        same(before, window_now(r->region));
    }

    /* The mapping must begin there nevertheless. */
    ok(rig_map(r, file, 0, 4 * PAGE, 3 * PAGE, 0));
    rig_refuses(r, rig_unmap(r, 5 * PAGE, 0), -EINVAL);
    rig_refuses(r, rig_unmap(r, 5 * PAGE, 2 * PAGE), -EINVAL);
    rig_refuses(r, rig_unmap(r, 0, 8 * PAGE), -ENOENT);
    rig_refuses(r, rig_unmap(r, 16 * PAGE, 0), -EINVAL);
    ok(rig_unmap(r, 4 * PAGE, 0));
    close(file);
}

static void without(rig *r)
{
    int file = memfd_of(3 * PAGE, 1);
    ok(rig_map(r, file, 0, 4 * PAGE, 3 * PAGE, 0));
    rig_refuses(r, rig_unmap(r, 4 * PAGE, 0), -EINVAL);
    rig_refuses(r, rig_unmap(r, 4 * PAGE, 1), -EINVAL);
    ok(rig_unmap(r, 4 * PAGE, 3 * PAGE));
    close(file);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, &options);
    through_every_door(without, 16 * PAGE, NULL, NULL);
    return 0;
}
