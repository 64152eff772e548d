/* SPDX-License-Identifier: BSD-3-Clause */
/* memory_region_del_subregion undoes the mapping that it is given. It leaves a later one with the same offset and length
   alone. */
#include "harness.h"

#include <vhushmem/series.h>

static int warnings;

static void count_warning(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
    warnings++;
}

int main(void)
{
    uint64_t page = PAGE;
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 1, 16 * page));
    int fd = memfd_of(page, 1);
    VirtioSharedMemoryMapping *first = some(virtio_shared_memory_mapping_new(1, fd, 0, page, page, false));
    object_ref(OBJECT(first));
    ok(virtio_add_shmem_map(shmem, first));
    memory_region_del_subregion(&shmem->mr, first->mr);
    EQ(vhushmem_region_mapping_count(shmem), 0);
    VirtioSharedMemoryMapping *second = some(virtio_shared_memory_mapping_new(1, fd, 0, page, page, false));
    ok(virtio_add_shmem_map(shmem, second));
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    memory_region_del_subregion(&shmem->mr, first->mr);
    EQ(warnings, 1);
    g_log_remove_handler("vhushmem", handler);
    CHECK(virtio_find_shmem_map(shmem, page, page) == second && memory_region_is_mapped(second->mr));
    object_unref(OBJECT(first));
    close(fd);
    vhushmem_device_unref(vdev);
    return 0;
}
