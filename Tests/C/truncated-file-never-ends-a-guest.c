/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest goes on touching a mapping whose file was truncated. It gets zeros, however large the mapping is, and the mapping
   says that it is broken. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE, pages = 300;
    rig r;
    rig_open(&r, 1024 * page, NULL);
    int file = memfd_of(pages * page, 1), memory = memfd_of(pages * page, 2);
    ok(rig_map(&r, file, 0, 0, pages * page, 0));
    ok(rig_map(&r, memory, 0, pages * page, pages * page, VHOST_USER_FLAG_MAP_RW));
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    ok(vhushmem_region_next_mapping(r.region, 0, &info));
    EQ(info.broken, 0);
    CHECK(ftruncate(file, (off_t)page) == 0 && ftruncate(memory, 0) == 0);
    for (uint64_t i = 1; i < pages; i++) {
        ok(vhushmem_resolve_guest_fault(r.region, i * page, 8, VHUSHMEM_ACCESS_READ, NULL));
        EQ(word_at(r.region, i * page), 0);
        uint64_t down = (2 * pages - i) * page;
        ok(vhushmem_resolve_guest_fault(r.region, down, 8, VHUSHMEM_ACCESS_WRITE, NULL));
        *(volatile uint64_t *)((char *)vhushmem_region_window(r.region) + down) = i;
    }
    EQ(word_at(r.region, 0), pattern(1, 0));
    ok(vhushmem_region_next_mapping(r.region, 0, &info));
    EQ(info.broken, 1);
    ok(vhushmem_region_next_mapping(r.region, pages * page, &info));
    EQ(info.broken, 1);
    rig_still_works(&r);
    ok(rig_unmap(&r, 0, pages * page));
    fill(file, pages * page, 1);
    ok(rig_map(&r, file, 0, 0, pages * page, 0));
    shows(r.region, 0, pages * page, 1, 0);
    close(file);
    close(memory);
    rig_close(&r);
    return 0;
}
