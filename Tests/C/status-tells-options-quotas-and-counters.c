/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's status has each region's options and quotas, and counts everything since the beginning, including mappings that
   are gone. */
#include "rig.h"
#include "status-rig.h"

int main(void)
{
    uint64_t page = PAGE;
    char *text;
    vhushmem_device_options of_device = {.struct_size = sizeof(of_device), .max_mappings = 7, .max_bytes = 64 * page};
    vhushmem_region_options of_region = {
        .struct_size = sizeof(of_region),
        .holes = VHUSHMEM_HOLES_ZERO,
        .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END | VHUSHMEM_FD_FILES_ONLY,
        .flags = VHUSHMEM_REGION_POPULATE,
        .max_mappings = 5,
    };
    vhushmem_device *device = some(vhushmem_device_new(&of_device, &error));
    says(vhushmem_device_status_json(device, 1), "\"regions\":[]", "\"mappings\":{\"used\":0,\"limit\":7}");
    vhushmem_region *plain = some(vhushmem_region_new(device, 9, 16 * page, NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 2, 16 * page, &of_region, &error));
    int fd = memfd_of(16 * page, 1);
    ok(vhushmem_region_map(region, fd, page, page, 2 * page - 1, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(region, fd, 0, 8 * page, page, 0, &error));
    ok(vhushmem_region_map(plain, fd, 0, 0, page, 0, &error));
    ok(vhushmem_region_unmap(region, 8 * page, page, &error));
    err(vhushmem_region_unmap(region, 8 * page, page, NULL), -ENOENT);

    text = g_strdup_printf("\"shmid\":2,\"size\":%" PRIu64 ",\"strategy\":\"window\",\"holes\":\"zero\",\"populate\":true,"
                           "\"huge_pages\":false,\"keeps_files\":false,\"fd_policy\":[\"allow-beyond-end\",\"files-only\"],"
                           "\"quotas\":{\"mappings\":{\"used\":1,\"limit\":5},\"bytes\":{\"used\":%" PRIu64 ",\"limit\":null}},"
                           "\"counters\":{\"maps\":2,\"unmaps\":1,\"mapped_bytes\":%" PRIu64 ",\"unmapped_bytes\":%" PRIu64 "},"
                           "\"mappings\":[{\"shm_offset\":%" PRIu64 ",\"len\":%" PRIu64 ",\"fd_offset\":%" PRIu64
                           ",\"rw\":true,\"broken\":false}],\"mappings_left_out\":0}",
                           16 * page, 2 * page, 3 * page, page, page, 2 * page - 1, page);
    says(vhushmem_region_status_json(region, 8), text);
    says(vhushmem_device_status_json(device, 8), text, "\"shmid\":9", "\"mappings\":{\"used\":2,\"limit\":7}",
         "\"counters\":{\"maps\":3,\"unmaps\":1,");
    g_free(text);

    /* Mappings that a reset undoes count as unmapped. A mapping is broken if a guest looks for pages that its file has lost. */
    EQ(vhushmem_device_unmap_all(device), 2);
    says(vhushmem_device_status_json(device, 8), "\"counters\":{\"maps\":3,\"unmaps\":3,");
    ok(vhushmem_region_map(plain, fd, 0, 0, 2 * page, 0, &error));
    CHECK(ftruncate(fd, (off_t)page) == 0);
    ok(vhushmem_resolve_guest_fault(plain, page, 8, VHUSHMEM_ACCESS_READ, NULL));
    says(vhushmem_region_status_json(plain, 8), "\"broken\":true");
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
