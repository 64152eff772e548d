/* SPDX-License-Identifier: BSD-3-Clause */
/* The series' names and the library's own are names for the same objects: what one family does, the other sees. */
#include "rig.h"

#include <vhushmem/series.h>

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    VirtIODevice *vdev = r.device;
    VirtioSharedMemory *shmem = some(virtio_find_shmem_region(vdev, 0));
    CHECK(shmem == r.region);
    int fd = memfd_of(4 * page, 1);

    /* Mapped over the wire, found by the series, undone by the library. */
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    VirtioSharedMemoryMapping *mapping = some(virtio_find_shmem_map(shmem, 0, page));
    vhushmem_mapping *again = some(vhushmem_region_find_mapping(r.region, 0, page));
    CHECK(again == mapping);
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_mapping_get_info(mapping, &info), 1);
    EQ(info.len, page);
    CHECK(info.host == vhushmem_region_window(r.region));
    ok(vhushmem_region_unmap(r.region, 0, page, &error));
    CHECK(virtio_find_shmem_map(shmem, 0, page) == NULL);
    EQ(vhushmem_mapping_get_info(again, &info), 0);
    CHECK(info.host == NULL);
    vhushmem_mapping_unref(again);

    /* Mapped by the series, undone over the wire. */
    ok(virtio_add_shmem_map(shmem, some(virtio_shared_memory_mapping_new(0, fd, page, 4 * page, page, true))));
    EQ(vhushmem_region_mapping_count(r.region), 1);
    CHECK(vhushmem_region_translate(r.region, 4 * page, page, true) != NULL);
    err(wire_map(&r, 0, fd, 0, 4 * page, page, 0), -EEXIST);
    ok(wire_unmap(&r, 0, 4 * page, page));

    /* Described by the library, added by the series; and the other way round. */
    ok(virtio_add_shmem_map(shmem, some(vhushmem_mapping_new(0, fd, 0, 0, page, 0, &error))));
    ok(vhushmem_region_add_mapping(r.region, some(virtio_shared_memory_mapping_new(0, fd, 0, page, page, false)), &error));
    EQ(vhushmem_device_mapping_count(vdev), 2);
    virtio_del_shmem_map(shmem, 0, page);
    virtio_del_shmem_map(shmem, page, page);
    EQ(vhushmem_device_mapped_bytes(vdev), 0);

    /* A region that the series added. */
    ok(virtio_add_shmem(vdev, 9, 4 * page, &error));
    EQ(vhushmem_region_size(vhushmem_device_find_region(vdev, 9)), 4 * page);
    ok(wire_map(&r, 9, fd, 0, 0, page, 0));
    close(fd);
    rig_close(&r);
    return 0;
}
