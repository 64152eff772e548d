/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fault of the file is told when a mapping is described (NULL): the series maps at that moment. A fault of the place is
 * told when the mapping is added.
 */
#include "harness.h"

#include <vhushmem/series.h>

int main(void)
{
    uint64_t page = PAGE;
    char *fds = fds_now();
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 3, 8 * page));
    int fd = memfd_of(4 * page, 1), reader = read_only(fd), pair[2];
    CHECK(pipe2(pair, O_CLOEXEC) == 0);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 0, 0, 0, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, -1, 0, 0, page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 4 * page, 0, page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 3 * page, 0, 2 * page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 8, 0, page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 0 - page, 0, 2 * page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, reader, 0, 0, page, true) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, pair[0], 0, 0, page, false) == NULL);
    object_unref(OBJECT(some(virtio_shared_memory_mapping_new(3, reader, 0, 0, page, false))));
    int sealed = memfd_of(page, 1), sealed_for_others = memfd_of(page, 1);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    CHECK(virtio_shared_memory_mapping_new(3, sealed, 0, 0, page, true) == NULL);
    object_unref(OBJECT(some(virtio_shared_memory_mapping_new(3, sealed, 0, 0, page, false))));
    if (fcntl(sealed_for_others, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0) {
        CHECK(virtio_shared_memory_mapping_new(3, sealed_for_others, 0, 0, page, true) == NULL);
    }

    static const struct {
        uint8_t shmid;
        uint64_t offset, pages;
        int code;
    } places[] = {{4, 0, 1, -EINVAL}, {3, 7, 4, -EINVAL}, {3, 8, 1, -EINVAL}, {3, 1, 1, -EEXIST}, {3, 0, 3, -EEXIST}};
    ok(vhushmem_region_map(shmem, fd, 0, page, page, 0, &error));
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        VirtioSharedMemoryMapping *mapping = some(
            virtio_shared_memory_mapping_new(places[i].shmid, fd, 0, places[i].offset * page, places[i].pages * page, true));
        EQ(virtio_add_shmem_map(shmem, mapping), places[i].code);
        object_unref(OBJECT(mapping)); /* the caller still owns it */
    }
    VirtioSharedMemoryMapping *unaligned = some(virtio_shared_memory_mapping_new(3, fd, 0, 8, page, true));
    EQ(virtio_add_shmem_map(shmem, unaligned), -EINVAL);
    object_unref(OBJECT(unaligned));
    EQ(vhushmem_region_mapping_count(shmem), 1);

    MemoryRegion none = {0};
    memory_region_init_ram_ptr(NULL, NULL, NULL, page, &none);
    memory_region_init_ram_ptr(&none, NULL, NULL, page, NULL);
    memory_region_init_ram_device_ptr(&none, NULL, NULL, page, NULL);
    memory_region_init_alias(NULL, NULL, NULL, &none, 0, page);
    memory_region_init_alias(&none, NULL, NULL, NULL, 0, page);
    CHECK(none.vhushmem_state == NULL && !memory_region_is_mapped(NULL) && !memory_region_is_ram(NULL));
    memory_region_set_enabled(NULL, false);
    memory_region_set_readonly(NULL, true);
    close(fd), close(reader), close(sealed), close(sealed_for_others), close(pair[0]), close(pair[1]);
    vhushmem_device_unref(vdev);
    same(fds, fds_now());
    return 0;
}
