/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_alloc_shmem_map finds a free range with the requested alignment, and fails with ENOSPC if there is none. */
#include "harness.h"

#include <vhushmem/series.h>

int main(void)
{
    uint64_t page = PAGE, at = 99;
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 0, 16 * page));
    int fd = memfd_of(16 * page, 1);
    refused(errno_of_null(virtio_alloc_shmem_map(shmem, fd, 0, page, 3 * page, false, &at, &error)), -EINVAL, hex(3 * page));
    refused(errno_of_null(virtio_alloc_shmem_map(shmem, fd, 0, page, page / 2, false, &at, &error)), -EINVAL);
    refused(errno_of_null(virtio_alloc_shmem_map(shmem, fd, 0, 17 * page, 0, false, &at, &error)), -ENOSPC, hex(17 * page));
    refused(errno_of_null(virtio_alloc_shmem_map(shmem, fd, 0, 0, 0, false, &at, &error)), -EINVAL);
    refused(errno_of_null(virtio_alloc_shmem_map(shmem, -1, 0, page, 0, false, &at, &error)), -EBADF);
    EQ(at, 99); /* written on success only */

    static const uint64_t aligns[] = {0, 1, 2, 4, 8};
    for (size_t i = 0; i < 5; i++) {
        uint64_t align = aligns[i] * page;
        VirtioSharedMemoryMapping *mapping = some(virtio_alloc_shmem_map(shmem, fd, i * page, page, align, i % 2, &at, &error));
        CHECK(at < 16 * page && at % (align > 0 ? align : page) == 0);
        CHECK(virtio_find_shmem_map(shmem, at, page) == mapping);
        shows(shmem, at, page, 1, i * page);
        CHECK(writable((char *)vhushmem_region_window(shmem) + at) == (i % 2 == 1));
    }
    EQ(vhushmem_region_mapping_count(shmem), 5);

    /* Fill the region: every page is found. */
    while (virtio_alloc_shmem_map(shmem, fd, 0, page, 0, false, &at, &error) != NULL) {}
    refused(errno_of_null(NULL), -ENOSPC);
    EQ(vhushmem_region_mapped_bytes(shmem), 16 * page);

    /* The one free page is found again, wherever it is. */
    for (uint64_t gone = 0; gone < 16; gone++) {
        ok(vhushmem_region_unmap(shmem, gone * page, page, &error));
        refused(errno_of_null(virtio_alloc_shmem_map(shmem, fd, 0, page + 1, 0, false, &at, &error)), -ENOSPC);
        ok(vhushmem_region_alloc(shmem, fd, 0, page, 0, 0, &at, &error));
        EQ(at, gone * page);
    }
    close(fd);
    vhushmem_device_unref(vdev);
    return 0;
}
