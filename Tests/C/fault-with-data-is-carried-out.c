/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library performs a guest's access that comes with its data. Holes read zeros and swallow writes, read-only mappings
 * swallow writes, and bytes that were mapped meanwhile are read and written. Nothing else changes.
 */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE, word;
    rig r;
    rig_open_plain(&r, 16 * page, NULL, NULL);
    int fd = memfd_of(8 * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 4 * page, page, 0, &error));
    ok(vhushmem_region_map(r.region, fd, page, 8 * page, page, VHOST_USER_FLAG_MAP_RW, &error));
    char *maps = window_now(r.region);

    word = 99;
    ok(vhushmem_resolve_guest_fault(r.region, 16, 8, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, 0);
    word = 99;
    ok(vhushmem_resolve_guest_fault(r.region, 16, 4, VHUSHMEM_ACCESS_READ, &word)); /* 4 bytes of the 8 */
    EQ(word, 0);
    word = UINT64_MAX;
    ok(vhushmem_resolve_guest_fault(r.region, 16, 2, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, UINT64_MAX << 16);
    word = 7;
    ok(vhushmem_resolve_guest_fault(r.region, 16, 8, VHUSHMEM_ACCESS_WRITE, &word));
    EQ(word, 7);
    ok(vhushmem_resolve_guest_fault(r.region, 16, 8, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, 0);

    ok(vhushmem_resolve_guest_fault(r.region, 4 * page + 16, 8, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, pattern(1, 16));
    word = 7;
    ok(vhushmem_resolve_guest_fault(r.region, 4 * page + 16, 8, VHUSHMEM_ACCESS_WRITE, &word));
    shows(r.region, 4 * page, page, 1, 0);
    EQ(word_at(r.region, 4 * page + 16), pattern(1, 16));

    ok(vhushmem_resolve_guest_fault(r.region, 8 * page + 16, 8, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, pattern(1, page + 16));
    word = 7;
    ok(vhushmem_resolve_guest_fault(r.region, 8 * page + 16, 8, VHUSHMEM_ACCESS_WRITE, &word));
    EQ(word_at(r.region, 8 * page + 16), 7);
    EQ(pread(fd, &word, 8, (off_t)page + 16), 8);
    EQ(word, 7);

    /* Half in a hole, half in a mapping. */
    ok(vhushmem_resolve_guest_fault(r.region, 4 * page - 4, 8, VHUSHMEM_ACCESS_READ, &word));
    EQ(word, (uint64_t)(uint32_t)pattern(1, 0) << 32);

    EQ(vhushmem_resolve_guest_fault(r.region, 16 * page, 8, VHUSHMEM_ACCESS_READ, &word), -ENXIO);
    EQ(vhushmem_resolve_guest_fault(r.region, UINT64_MAX - 8, 8, VHUSHMEM_ACCESS_READ, &word), -ENXIO);
    EQ(vhushmem_resolve_guest_fault(r.region, 16, 8, VHUSHMEM_ACCESS_UNKNOWN, &word), -EINVAL);
    EQ(vhushmem_resolve_guest_fault(r.region, 16, 8, 3, &word), -EINVAL);
    same(maps, window_now(r.region));
    EQ(vhushmem_region_mapping_count(r.region), 2);
    close(fd);
    rig_close(&r);
    return 0;
}
