/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's access that comes without its data runs again. A hole that was read shows zeros. A page that was written takes
 * the write and keeps it from the file. Unmaps and maps work as before.
 */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE, word;
    rig r;
    rig_open_plain(&r, 16 * page, NULL, NULL);
    char *window = vhushmem_region_window(r.region);
    int fd = memfd_of(8 * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 4 * page, 2 * page, 0, &error));

    /* The guest reads a hole. */
    CHECK(!readable(window));
    ok(vhushmem_resolve_guest_fault(r.region, 8, 8, VHUSHMEM_ACCESS_READ, NULL));
    EQ(word_at(r.region, 8), 0);
    CHECK(vhushmem_region_translate(r.region, 8, 8, false) == NULL);

    /* The guest writes to a hole. */
    ok(vhushmem_resolve_guest_fault(r.region, 2 * page + 8, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    *(volatile uint64_t *)(window + 2 * page + 8) = 7;
    EQ(word_at(r.region, 2 * page), 0);
    EQ(word_at(r.region, 2 * page + 8), 7);

    /* The guest writes to a read-only mapping. */
    ok(vhushmem_resolve_guest_fault(r.region, 5 * page + 8, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    shows(r.region, 4 * page, 2 * page, 1, 0);
    *(volatile uint64_t *)(window + 5 * page + 8) = 7;
    EQ(word_at(r.region, 5 * page + 8), 7);
    EQ(pread(fd, &word, 8, (off_t)page + 8), 8);
    EQ(word, pattern(1, page + 8));
    CHECK(!writable(window + 4 * page));
    EQ(vhushmem_region_mapping_count(r.region), 1);

    /* An access across the end of a page makes memory of both pages. */
    ok(vhushmem_resolve_guest_fault(r.region, 11 * page - 4, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable(window + 10 * page) && writable(window + 11 * page));

    /* 0 bytes count as 1. */
    ok(vhushmem_resolve_guest_fault(r.region, 13 * page, 0, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable(window + 13 * page));

    /* Memory in a hole makes room for a mapping. Memory in a mapping goes with it. */
    ok(vhushmem_region_map(r.region, fd, 0, 2 * page, page, 0, &error));
    shows(r.region, 2 * page, page, 1, 0);
    ok(vhushmem_region_unmap(r.region, 2 * page, page, &error));
    CHECK(!writable(window + 2 * page));
    ok(vhushmem_region_unmap(r.region, 4 * page, 2 * page, &error));
    CHECK(!writable(window + 5 * page));
    ok(vhushmem_region_map(r.region, fd, 0, 4 * page, 2 * page, 0, &error));
    shows(r.region, 4 * page, 2 * page, 1, 0);

    EQ(vhushmem_resolve_guest_fault(r.region, 16 * page, 8, VHUSHMEM_ACCESS_READ, NULL), -ENXIO);
    EQ(vhushmem_resolve_guest_fault(r.region, 16 * page, 0, VHUSHMEM_ACCESS_WRITE, NULL), -ENXIO);
    EQ(vhushmem_resolve_guest_fault(r.region, 0, 8, 3, NULL), -EINVAL);
    close(fd);
    rig_close(&r);
    return 0;
}
