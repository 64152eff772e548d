/* SPDX-License-Identifier: BSD-3-Clause */
/* An offset becomes a pointer if one live mapping covers the whole range and allows the access; otherwise NULL. */
#include "harness.h"

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 16 * page, NULL, &error));
    char *window = vhushmem_region_window(region);
    int fd = memfd_of(8 * page, 1);
    ok(vhushmem_region_map(region, fd, 0, 4 * page, 2 * page, 0, &error));
    ok(vhushmem_region_map(region, fd, 0, 6 * page, page, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(region, fd, 0, 7 * page, 10, VHOST_USER_FLAG_MAP_RW, &error));
#define AT(offset, len, write) ((char *)vhushmem_region_translate(region, offset, len, write))
    CHECK(AT(4 * page, 1, false) == window + 4 * page);
    CHECK(AT(4 * page, 2 * page, false) == window + 4 * page);
    CHECK(AT(4 * page + 123, 8, false) == window + 4 * page + 123);
    CHECK(AT(5 * page - 1, 2, false) == window + 5 * page - 1);
    CHECK(AT(6 * page - 1, 1, false) == window + 6 * page - 1);
    CHECK(AT(6 * page, page, false) == window + 6 * page);
    CHECK(AT(6 * page, page, true) == window + 6 * page);

    /* The rest of a mapping's last page belongs to the mapping. */
    CHECK(AT(7 * page, 10, true) == window + 7 * page);
    CHECK(AT(7 * page + 10, page - 10, true) == window + 7 * page + 10);
    CHECK(AT(7 * page, page + 1, true) == NULL);

    /* Read-only, two mappings, a hole, the end. */
    CHECK(AT(4 * page, 1, true) == NULL);
    CHECK(AT(6 * page - 1, 2, false) == NULL);
    CHECK(AT(6 * page, page + 1, false) == NULL);
    CHECK(AT(4 * page - 1, 1, false) == NULL);
    CHECK(AT(4 * page - 1, 2, false) == NULL);
    CHECK(AT(3 * page, 4 * page, false) == NULL);
    CHECK(AT(0, 1, false) == NULL);
    CHECK(AT(8 * page, 1, false) == NULL);
    CHECK(AT(16 * page, 1, false) == NULL);
    CHECK(AT(UINT64_MAX, 1, false) == NULL);
    CHECK(AT(4 * page, UINT64_MAX, false) == NULL);
    CHECK(AT(4 * page, 0 - 4 * page, false) == NULL);
    CHECK(AT(UINT64_MAX - page, 6 * page, false) == NULL);
    CHECK(AT(4 * page, 0, false) == NULL);

    ok(vhushmem_region_unmap(region, 6 * page, page, &error));
    CHECK(AT(6 * page, 1, false) == NULL);
    CHECK(AT(5 * page, page, false) == window + 5 * page);
    EQ(vhushmem_device_unmap_all(device), 2);
    CHECK(AT(4 * page, 1, false) == NULL);
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
