/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a mapping under the series' names: new region, new mapping, add, find (exactly), delete. */
#include "harness.h"

#include <vhushmem/series.h>

static int warnings;

static void count_message(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
    warnings++;
}

int main(void)
{
    uint64_t page = PAGE;
    char *fds = fds_now();
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 3, 16 * page));
    CHECK(virtio_find_shmem_region(vdev, 3) == shmem);
    CHECK(virtio_find_shmem_region(vdev, 2) == NULL);
    CHECK(virtio_new_shmem_region(vdev, 3, 16 * page) == NULL);
    CHECK(virtio_new_shmem_region(vdev, 4, page + 1) == NULL);
    CHECK(virtio_new_shmem_region(vdev, 4, 0) == NULL);
    CHECK(virtio_new_shmem_region(vdev, 4, UINT64_C(1) << 60) == NULL);
    ok(virtio_add_shmem(vdev, 4, page, &error));
    refused(virtio_add_shmem(vdev, 4, page, &error), -EEXIST, "4");
    refused(virtio_add_shmem(vdev, 5, page + 1, &error), -EINVAL, hex(page + 1));
    refused(virtio_add_shmem(vdev, 5, 0, &error), -EINVAL);
    if (!under_valgrind()) { /* valgrind has its own errno for that */
        refused(virtio_add_shmem(vdev, 5, UINT64_C(1) << 60, &error), -ENOMEM, hex(UINT64_C(1) << 60));
    }

    int fd = memfd_of(4 * page, 1);
    VirtioSharedMemoryMapping *mapping = some(virtio_shared_memory_mapping_new(3, fd, page, 4 * page, 2 * page, true));
    VirtioSharedMemoryMapping *overlapping = some(virtio_shared_memory_mapping_new(3, fd, 0, 5 * page, page, false));
    VirtioSharedMemoryMapping *elsewhere = some(virtio_shared_memory_mapping_new(4, fd, 0, 0, page, false));
    CHECK(virtio_shared_memory_mapping_new(3, -1, 0, 0, page, false) == NULL);
    CHECK(virtio_shared_memory_mapping_new(3, fd, 0, 0, 0, false) == NULL);
    close(fd); /* the library has a duplicate */
    CHECK(virtio_find_shmem_map(shmem, 4 * page, 2 * page) == NULL);
    ok(virtio_add_shmem_map(shmem, mapping));
    shows(shmem, 4 * page, 2 * page, 1, page);
    CHECK(writable((char *)vhushmem_region_window(shmem) + 4 * page));
    CHECK(virtio_find_shmem_map(shmem, 4 * page, 2 * page) == mapping);
    CHECK(virtio_find_shmem_map(shmem, 4 * page, page) == NULL);
    CHECK(virtio_find_shmem_map(shmem, 5 * page, page) == NULL);
    CHECK(virtio_find_shmem_map(shmem, 0, 16 * page) == NULL);

    /* The caller keeps a mapping that could not be added. */
    EQ(virtio_add_shmem_map(shmem, overlapping), -EEXIST);
    EQ(virtio_add_shmem_map(shmem, elsewhere), -EINVAL);
    EQ(virtio_add_shmem_map(shmem, mapping), -EBUSY);
    vhushmem_mapping_unref(overlapping);
    vhushmem_mapping_unref(elsewhere);

    /* To delete what does not exist is logged, and changes nothing. */
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_MASK, count_message, NULL);
    virtio_del_shmem_map(shmem, 4 * page, page);
    EQ(warnings, 1);
    virtio_del_shmem_map(shmem, 0, page);
    EQ(warnings, 2);
    shows(shmem, 4 * page, 2 * page, 1, page);
    virtio_del_shmem_map(shmem, 4 * page, 2 * page);
    EQ(warnings, 2);
    g_log_remove_handler("vhushmem", handler);
    EQ(vhushmem_region_mapping_count(shmem), 0);
    CHECK(!readable((char *)vhushmem_region_window(shmem) + 4 * page));
    vhushmem_device_unref(vdev);
    same(fds, fds_now());
    return 0;
}
