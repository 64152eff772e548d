/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that wrote to as many pages as it may leaves room for the guard: a shrinking file ends no process. */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "guard-rig.h"

int main(void)
{
    uint64_t page = PAGE, at = 2 * VHUSHMEM_MAX_SCRATCH_PAGES * page;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 2 * at, NULL, &error));
    int read_only = memfd_of(at, 1), shrinks = memfd_of(4 * page, 2);
    guard_begin();
    ok(vhushmem_region_map(region, read_only, 0, 0, at, 0, &error));
    ok(vhushmem_region_map(region, shrinks, 0, at, 4 * page, VHOST_USER_FLAG_MAP_RW, &error));
    for (uint64_t i = 0; i < VHUSHMEM_MAX_SCRATCH_PAGES; i++) {
        ok(vhushmem_resolve_guest_fault(region, i * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    }
    err(vhushmem_resolve_guest_fault(region, at - page, 8, VHUSHMEM_ACCESS_WRITE, NULL), -ENOSPC);

    CHECK(ftruncate(shrinks, 0) == 0);
    EQ(word_at(region, at), 0);
    EQ(sigbus_count, 1);
    ok(vhushmem_resolve_guest_fault(region, at + page, 8, VHUSHMEM_ACCESS_READ, NULL));
    EQ(word_at(region, at + page), 0);
    CHECK(is_broken(region, at));

    fill(shrinks, 4 * page, 2);
    EQ(vhushmem_region_heal(region), 0);
    shows(region, at, 4 * page, 2, 0);
    vhushmem_device_unref(device);
    return 0;
}
