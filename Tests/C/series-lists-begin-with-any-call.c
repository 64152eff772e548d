/* SPDX-License-Identifier: BSD-3-Clause */
/* The list mmaps is kept from the first call under the series' names that makes, finds or uses the region. Any such call
   begins it. */
#include "rig.h"

#include <vhushmem/series.h>

static VirtIODevice *vdev;
static int fd;

static void lists_from_now_on(VirtioSharedMemory *shmem, unsigned before)
{
    unsigned found = 0;
    VirtioSharedMemoryMapping *mapping;
    ok(vhushmem_region_map(shmem, fd, 0, 7 * PAGE, PAGE, 0, &error));
    QTAILQ_FOREACH(mapping, &shmem->mmaps, link) { found++; }
    EQ(found, before + 1);
    mapping = some(vhushmem_region_find_mapping(shmem, 7 * PAGE, PAGE));
    CHECK(shmem->mmaps.tqh_last == &mapping->link.tqe_next);
    vhushmem_mapping_unref(mapping);
}

static VirtioSharedMemory *plain(uint8_t shmid)
{
    VirtioSharedMemory *shmem = some(vhushmem_region_new(vdev, shmid, 8 * PAGE, NULL, &error));
    ok(vhushmem_region_map(shmem, fd, 0, 0, PAGE, 0, &error));
    CHECK(QTAILQ_EMPTY(&shmem->mmaps));
    return shmem;
}

int main(void)
{
    uint64_t at;
    fd = memfd_of(PAGE, 1);
    vdev = some(vhushmem_device_new(NULL, &error));
    lists_from_now_on(some(virtio_new_shmem_region(vdev, 0, 8 * PAGE)), 0);
    ok(virtio_add_shmem(vdev, 1, 8 * PAGE, &error));
    lists_from_now_on(some(vhushmem_device_find_region(vdev, 1)), 0);
    VirtioSharedMemory *shmem = plain(2);
    CHECK(virtio_find_shmem_region(vdev, 2) == shmem);
    lists_from_now_on(shmem, 1);
    shmem = plain(3);
    ok(virtio_add_shmem_map(shmem, some(virtio_shared_memory_mapping_new(3, fd, 0, PAGE, PAGE, false))));
    lists_from_now_on(shmem, 2);
    shmem = plain(4);
    some(virtio_alloc_shmem_map(shmem, fd, 0, PAGE, 0, false, &at, &error));
    lists_from_now_on(shmem, 2);
    shmem = plain(5);
    VirtioSharedMemoryMapping *mapping = some(virtio_shared_memory_mapping_new(5, fd, 0, PAGE, PAGE, false));
    memory_region_add_subregion(&shmem->mr, PAGE, mapping->mr);
    object_unref(OBJECT(mapping));
    lists_from_now_on(shmem, 2);
    vhushmem_device_unref(vdev);

    /* A region that the back-end told of. */
    rig r;
    rig_open(&r, 8 * PAGE, NULL);
    vdev = r.device;
    CHECK(virtio_new_shmem_region(r.device, 0, 8 * PAGE) == r.region);
    lists_from_now_on(r.region, 0);
    close(fd);
    rig_close(&r);
    return 0;
}
