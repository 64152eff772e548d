/* SPDX-License-Identifier: BSD-3-Clause */
/* A program may have its own VhostUserMMap: a struct without a tag as in QEMU, at any place in memory. The library handles
   its messages. */
#define VHUSHMEM_NO_WIRE_NAMES 1
#include "harness.h"

typedef struct {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t len;
    uint64_t flags;
} VhostUserMMap;

#if defined(VHOST_USER_FLAG_MAP_RW) || defined(VIRTIO_MAX_SHMEM_REGIONS)
#error "the library's headers have defined names of the wire"
#endif

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 7, 4 * page, NULL, &error));
    int fd = memfd_of(page, 1);
    VhostUserMMap m = {.shmid = 7, .shm_offset = page, .len = page, .flags = 1};
    ok(vhushmem_handle_map(device, &m, fd, &error));
    shows(region, page, page, 1, 0);
    CHECK(writable((char *)vhushmem_region_window(region) + page));
    ok(vhushmem_handle_unmap(device, &m, &error));

    /* As it came: after a header of 12 bytes, and not aligned in memory. */
    char bytes[64];
    memcpy(bytes + 13, &m, sizeof(m));
    ok(vhushmem_handle_map(device, bytes + 13, fd, &error));
    shows(region, page, page, 1, 0);
    ok(vhushmem_handle_unmap(device, bytes + 13, &error));
    EQ(vhushmem_region_mapping_count(region), 0);
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
