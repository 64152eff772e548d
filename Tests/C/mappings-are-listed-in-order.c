/* SPDX-License-Identifier: BSD-3-Clause */
/* vhushmem_region_next_mapping steps through the live mappings by offset. It begins with the first that ends beyond `from`. */
#include "harness.h"

int main(void)
{
    uint64_t page = PAGE;
    static const struct {
        uint64_t at, len;
    } pages[] = {{9, 2}, {2, 1}, {5, 3}, {0, 1}, {15, 1}};
    static const uint64_t order[] = {0, 2, 5, 9, 15};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 42, 16 * page, NULL, &error));
    int fd = memfd_of(4 * page, 1);
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_region_next_mapping(region, 0, &info), -ENOENT);
    for (int i = 0; i < 5; i++) {
        ok(vhushmem_region_map(region, fd, page, pages[i].at * page, pages[i].len * page, i % 2, &error));
    }
    uint64_t from = 0;
    for (int i = 0; i < 5; i++) {
        ok(vhushmem_region_next_mapping(region, from, &info));
        EQ(info.shm_offset, order[i] * page);
        EQ(info.fd_offset, page);
        EQ(info.shmid, 42);
        CHECK(info.host == (char *)vhushmem_region_window(region) + info.shm_offset);
        from = info.shm_offset + info.len;
    }
    EQ(vhushmem_region_next_mapping(region, from, &info), -ENOENT);
    EQ(vhushmem_region_next_mapping(region, UINT64_MAX, &info), -ENOENT);
    ok(vhushmem_region_next_mapping(region, 6 * page, &info)); /* `from` is inside one */
    EQ(info.shm_offset, 5 * page);
    ok(vhushmem_region_next_mapping(region, 8 * page - 1, &info));
    EQ(info.shm_offset, 5 * page);
    ok(vhushmem_region_next_mapping(region, 8 * page, &info));
    EQ(info.shm_offset, 9 * page);
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
