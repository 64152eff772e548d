/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapping_info without its size is refused with EINVAL and not touched. A larger one is filled as far as the library knows
   it, and the rest is zeroed. */
#include "harness.h"

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 16 * page, NULL, &error));
    int fd = memfd_of(page, 1);
    ok(vhushmem_region_map(region, fd, 0, page, page, 0, &error));
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(region, page, page));
    struct {
        vhushmem_mapping_info info;
        uint8_t more[16];
    } larger;
    static const uint32_t wrong[] = {0, 1, 4, sizeof(vhushmem_mapping_info) - 8};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        memset(&larger, 0x55, sizeof(larger));
        larger.info.struct_size = wrong[i];
        EQ(vhushmem_mapping_get_info(mapping, &larger.info), -EINVAL);
        EQ(vhushmem_region_next_mapping(region, 0, &larger.info), -EINVAL);
        EQ(larger.info.struct_size, wrong[i]);
        for (size_t b = 4; b < sizeof(larger); b++) {
            EQ(((uint8_t *)&larger)[b], 0x55);
        }
    }
    for (int way = 0; way < 2; way++) {
        memset(&larger, 0x55, sizeof(larger));
        larger.info.struct_size = sizeof(larger) - 8;
        if (way == 0) {
            EQ(vhushmem_mapping_get_info(mapping, &larger.info), 1);
        } else {
            EQ(vhushmem_region_next_mapping(region, 0, &larger.info), 0);
        }
        EQ(larger.info.shm_offset, page);
        for (size_t b = 0; b < sizeof(larger.more); b++) {
            EQ(larger.more[b], b < 8 ? 0 : 0x55);
        }
    }
    larger.info.struct_size = sizeof(larger);
    EQ(vhushmem_region_next_mapping(region, 0, &larger.info), 0);
    EQ(larger.info.shm_offset, page);
    EQ(larger.info.struct_size, sizeof(larger));

    /* Written on success only. */
    memset(&larger, 0x55, sizeof(larger));
    larger.info.struct_size = sizeof(larger.info);
    EQ(vhushmem_region_next_mapping(region, 2 * page, &larger.info), -ENOENT);
    EQ(larger.info.shm_offset, 0x5555555555555555);
    vhushmem_mapping_unref(mapping);
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
