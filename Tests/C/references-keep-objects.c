/* SPDX-License-Identifier: BSD-3-Clause */
/* A referenced region keeps its window when its device goes, and takes no more maps. A mapping tells that it is gone. */
#include "harness.h"

int main(void)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    CHECK(vhushmem_device_ref(device) == device);
    vhushmem_region *region = some(vhushmem_region_new(device, 7, 16 * page, NULL, &error));
    CHECK(vhushmem_region_ref(region) == region);
    EQ(vhushmem_region_id(region), 7);
    ok(vhushmem_region_map(region, fd, 0, page, page, 0, &error));
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(region, page, page));
    vhushmem_device_unref(device);
    shows(region, page, page, 1, 0); /* one reference is left */
    vhushmem_device_unref(device);

    char *window = vhushmem_region_window(region);
    EQ(vhushmem_region_mapping_count(region), 0);
    CHECK(!readable(window + page));
    CHECK(strcmp(perms_at(window), "---p") == 0);
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_mapping_get_info(mapping, &info), 0);
    CHECK(info.host == NULL && info.shmid == 7 && info.shm_offset == page && info.len == page);
    refused(vhushmem_region_map(region, fd, 0, 0, page, 0, &error), -ESHUTDOWN);
    refused(vhushmem_region_add_mapping(region, mapping, &error), -EBUSY);
    CHECK(vhushmem_mapping_ref(mapping) == mapping);
    vhushmem_mapping_unref(mapping);
    vhushmem_mapping_unref(mapping);
    vhushmem_region_unref(region);
    CHECK(strcmp(perms_at(window), "---p") != 0);
    close(fd);
    return 0;
}
