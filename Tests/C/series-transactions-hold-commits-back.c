/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside memory_region_transaction_begin and _commit, which nest, commits wait for the outermost end. region_add does not
   wait. */
#include "harness.h"

#include <vhushmem/series.h>

static int adds, dels, commits, criticals;

static void count_critical(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
    criticals++;
}

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener, (void)section;
    adds++;
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener, (void)section;
    dels++;
}

static void commit(MemoryListener *listener)
{
    (void)listener;
    commits++;
}

int main(void)
{
    uint64_t page = PAGE;
    MemoryListener listener = {.region_add = region_add, .region_del = region_del, .commit = commit, .name = "test"};
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 0, 16 * page));
    memory_listener_register(&listener, virtio_shmem_memory_region(shmem));
    commits = 0;
    int fd = memfd_of(page, 1);
    ok(vhushmem_region_map(shmem, fd, 0, 0, page, 0, &error));
    EQ(adds, 1);
    EQ(commits, 1);

    memory_region_transaction_begin();
    memory_region_transaction_begin();
    ok(vhushmem_region_map(shmem, fd, 0, page, page, 0, &error));
    ok(vhushmem_region_map(shmem, fd, 0, 2 * page, page, 0, &error));
    ok(vhushmem_region_unmap(shmem, 0, page, &error));
    EQ(adds, 3);
    EQ(dels, 1);
    EQ(commits, 1);
    memory_region_transaction_commit();
    EQ(commits, 1);
    memory_region_transaction_commit();
    EQ(commits, 2);

    /* A transaction without a change has nothing to commit. One end too many is harmless. */
    memory_region_transaction_begin();
    memory_region_transaction_commit();
    EQ(commits, 2);
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_CRITICAL | G_LOG_FLAG_FATAL, count_critical, NULL);
    memory_region_transaction_commit();
    EQ(criticals, 1);
    g_log_remove_handler("vhushmem", handler);
    ok(vhushmem_region_map(shmem, fd, 0, 0, page, 0, &error));
    EQ(commits, 3);
    memory_region_transaction_begin();
    ok(vhushmem_region_unmap(shmem, 0, page, &error));
    EQ(commits, 3);
    memory_region_transaction_commit();
    EQ(commits, 4);
    close(fd);
    memory_listener_unregister(&listener);
    vhushmem_device_unref(vdev);
    return 0;
}
