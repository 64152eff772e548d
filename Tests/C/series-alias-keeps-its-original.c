/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory that an alias shows lives exactly as long as the alias. A mapping cannot have an alias, because it may go at
   any time. */
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
    char *fds = fds_now();
    MemoryRegion file = {0}, alias = {0}, none = {0};
    int fd = memfd_of(4 * page, 1);
    CHECK(memory_region_init_ram_from_fd(&file, NULL, "file", 4 * page, RAM_SHARED, dup(fd), 0, &error));
    memory_region_init_alias(&alias, NULL, "alias", &file, page, 2 * page);
    EQ(memory_region_size(&alias), 2 * page);
    EQ(memory_region_get_fd(&alias), -1);
    CHECK(memory_region_is_ram(&alias));
    uint64_t *shown = some(memory_region_get_ram_ptr(&alias));
    memory_region_unref(&file);
    EQ(shown[0], pattern(1, page));
    memory_region_unref(&alias);
    CHECK(!readable(shown));
    CHECK(file.vhushmem_state == NULL);

    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 1, 16 * page));
    ok(vhushmem_region_map(shmem, fd, 0, 0, page, 0, &error));
    VirtioSharedMemoryMapping *mapping = some(virtio_find_shmem_map(shmem, 0, page));
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    memory_region_init_alias(&none, NULL, "none", mapping->mr, 0, page);
    EQ(warnings, 1);
    CHECK(none.vhushmem_state == NULL);
    g_log_remove_handler("vhushmem", handler);
    close(fd);
    vhushmem_device_unref(vdev);
    same(fds, fds_now());
    return 0;
}
