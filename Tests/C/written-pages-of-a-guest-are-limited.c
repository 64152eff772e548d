/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes where it may not gets memory for at most VHUSHMEM_MAX_SCRATCH_PAGES pages of a region. In holes the
 * oldest page makes room. In read-only mappings further writes fail (ENOSPC) until mappings are undone.
 */
#include "rig.h"

#define LIMIT VHUSHMEM_MAX_SCRATCH_PAGES

static int writable_pages(vhushmem_region *region)
{
    int count = 0;
    for (uint64_t at = 0; at < vhushmem_region_size(region); at += PAGE) {
        count += writable((char *)vhushmem_region_window(region) + at);
    }
    return count;
}

int main(void)
{
    uint64_t page = PAGE, pages = 4 * LIMIT;
    rig r;
    rig_open_plain(&r, pages * page, NULL, NULL);
    for (uint64_t i = 0; i < 2 * LIMIT; i++) {
        ok(vhushmem_resolve_guest_fault(r.region, i * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
        CHECK(writable((char *)vhushmem_region_window(r.region) + i * page));
    }
    EQ(writable_pages(r.region), LIMIT);

    int fd = memfd_of(2 * LIMIT * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 2 * LIMIT * page, 2 * LIMIT * page, 0, &error));
    for (uint64_t i = 0; i < LIMIT; i++) {
        ok(vhushmem_resolve_guest_fault(r.region, (2 * LIMIT + i) * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
        CHECK(writable((char *)vhushmem_region_window(r.region) + (2 * LIMIT + i) * page));
    }
    CHECK(writable_pages(r.region) <= 2 * LIMIT);
    EQ(vhushmem_resolve_guest_fault(r.region, 3 * LIMIT * page, 8, VHUSHMEM_ACCESS_WRITE, NULL), -ENOSPC);
    CHECK(!writable((char *)vhushmem_region_window(r.region) + 3 * LIMIT * page));
    shows(r.region, 2 * LIMIT * page, 2 * LIMIT * page, 1, 0);

    /* An access with its data needs no page. */
    uint64_t word = 7;
    ok(vhushmem_resolve_guest_fault(r.region, 3 * LIMIT * page, 8, VHUSHMEM_ACCESS_WRITE, &word));
    ok(vhushmem_region_unmap(r.region, 2 * LIMIT * page, 2 * LIMIT * page, &error));
    ok(vhushmem_region_map(r.region, fd, 0, 2 * LIMIT * page, 2 * LIMIT * page, 0, &error));
    ok(vhushmem_resolve_guest_fault(r.region, 3 * LIMIT * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    close(fd);
    rig_close(&r);
    return 0;
}
