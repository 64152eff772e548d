/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A listener of a BAR sees changes on every level below it, at the BAR's offsets: each mapping of a region with the strategy
 * SLOTS, and the window of a region with the strategy WINDOW. It sees nothing of disabled regions.
 */
#include "harness.h"

#include <vhushmem/series.h>

typedef struct watcher {
    MemoryListener listener;
    char heard[64]; /* "b" begin, "a" region_add, "d" region_del, "c" commit */
    MemoryRegionSection last;
} watcher;

static void hear(MemoryListener *listener, const char *what, MemoryRegionSection *section)
{
    watcher *w = (watcher *)listener;
    CHECK(strlen(w->heard) < sizeof(w->heard) - 1);
    strcat(w->heard, what);
    if (section != NULL) {
        w->last = *section;
    }
}

static void on_begin(MemoryListener *listener) { hear(listener, "b", NULL); }
static void on_commit(MemoryListener *listener) { hear(listener, "c", NULL); }
static void on_add(MemoryListener *listener, MemoryRegionSection *section) { hear(listener, "a", section); }
static void on_del(MemoryListener *listener, MemoryRegionSection *section) { hear(listener, "d", section); }

#define WATCHER                                                                                                                \
    {                                                                                                                          \
        .listener = {.begin = on_begin, .commit = on_commit, .region_add = on_add, .region_del = on_del, .name = "test" }      \
    }

static void hears(watcher *w, const char *wanted)
{
    if (strcmp(w->heard, wanted) != 0) {
        FAIL("heard \"%s\", not \"%s\"", w->heard, wanted);
    }
    w->heard[0] = 0;
}

static void section_is(watcher *w, MemoryRegion *mr, uint64_t offset, uint64_t size, void *host, bool readonly)
{
    CHECK(w->last.mr == mr && w->last.host == host && w->last.readonly == readonly);
    EQ(w->last.offset_within_region, offset);
    EQ(w->last.offset_within_address_space, offset);
    EQ(w->last.size, size);
}

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
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 1, 16 * page));
    VirtioSharedMemory *windowed = some(vhushmem_region_new(vdev, 2, 8 * page, NULL, &error));
    char *window = vhushmem_region_window(shmem);
    MemoryRegion system = {0}, bar = {0}, ram = {0};
    watcher of_system = WATCHER, of_bar = WATCHER, of_region = WATCHER;
    int fd = memfd_of(4 * page, 1);
    memory_region_init(&system, NULL, "system", 256 * page);
    memory_region_init(&bar, NULL, "bar", 64 * page);
    memory_region_add_subregion(&system, 128 * page, &bar);
    memory_listener_register(&of_system.listener, &system);
    memory_listener_register(&of_bar.listener, &bar);
    hears(&of_system, "");

    /* Present mappings are told when the region is added. Later changes are told at once. */
    ok(vhushmem_region_map(shmem, fd, 0, 0, page, 0, &error));
    memory_region_add_subregion(&bar, 16 * page, &shmem->mr);
    CHECK(memory_region_is_mapped(&shmem->mr));
    hears(&of_bar, "bac");
    hears(&of_system, "bac");
    section_is(&of_bar, &bar, 16 * page, page, window, true);
    section_is(&of_system, &system, 144 * page, page, window, true);
    VirtioSharedMemoryMapping *mapping = some(virtio_shared_memory_mapping_new(1, fd, 0, 3 * page, 2 * page, true));
    ok(virtio_add_shmem_map(shmem, mapping));
    hears(&of_bar, "bac");
    hears(&of_system, "bac");
    section_is(&of_system, &system, 147 * page, 2 * page, window + 3 * page, false);
    memory_listener_register(&of_region.listener, &shmem->mr);
    hears(&of_region, "baac");
    virtio_del_shmem_map(shmem, 0, page);
    hears(&of_bar, "bdc");
    hears(&of_system, "bdc");
    hears(&of_region, "bdc");
    section_is(&of_region, &shmem->mr, 0, page, window, true);
    memory_listener_unregister(&of_region.listener);
    hears(&of_region, "bdc");

    /* The series' own way to add a mapping and to remove it. */
    mapping = some(virtio_shared_memory_mapping_new(1, fd, 0, 8 * page, page, false));
    memory_region_transaction_begin();
    memory_region_add_subregion(&shmem->mr, mapping->offset, mapping->mr);
    hears(&of_system, "ba");
    shows(shmem, 8 * page, page, 1, 0);
    memory_region_del_subregion(&shmem->mr, mapping->mr);
    hears(&of_system, "d");
    CHECK(!memory_region_is_mapped(mapping->mr));
    object_unref(OBJECT(mapping)); /* the caller owned it all the time */
    memory_region_transaction_commit();
    hears(&of_system, "c");
    hears(&of_bar, "badc");
    EQ(vhushmem_region_mapping_count(shmem), 1);

    /* A disabled region is not seen, and comes back in its state at that time. Read-only is told. */
    memory_region_set_enabled(&shmem->mr, false);
    hears(&of_bar, "bdc");
    hears(&of_system, "bdc");
    ok(vhushmem_region_map(shmem, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW, &error));
    hears(&of_bar, "");
    memory_region_set_enabled(&shmem->mr, true);
    hears(&of_bar, "baac");
    hears(&of_system, "baac");
    memory_region_set_enabled(&shmem->mr, true);
    hears(&of_bar, "");
    memory_region_set_enabled(&bar, false);
    hears(&of_bar, "");
    hears(&of_system, "bddc");
    memory_region_set_enabled(&bar, true);
    hears(&of_system, "baac");
    CHECK(!of_system.last.readonly);
    memory_region_set_readonly(&bar, true);
    hears(&of_system, "bddaac");
    CHECK(of_system.last.readonly);
    memory_region_set_readonly(&bar, false);
    hears(&of_system, "bddaac");
    of_bar.heard[0] = 0;

    /* A window is one section for good. Its own container has its mappings. */
    memory_region_add_subregion(&bar, 40 * page, &windowed->mr);
    hears(&of_bar, "bac");
    hears(&of_system, "bac");
    section_is(&of_system, &system, 168 * page, 8 * page, vhushmem_region_window(windowed), false);
    memory_listener_register(&of_region.listener, &windowed->mr);
    ok(vhushmem_region_map(windowed, fd, 0, page, page, 0, &error));
    hears(&of_region, "bac");
    hears(&of_system, "");
    memory_listener_unregister(&of_region.listener);
    hears(&of_region, "bdc");

    /* Other memory on the way, an alias, and a listener that comes late. */
    char own[64], *at = memory_region_get_ram_ptr(&windowed->mr);
    memory_region_init_ram_device_ptr(&ram, NULL, "ram", sizeof(own), own);
    CHECK(memory_region_is_ram(&ram) && !memory_region_is_mapped(&ram) && memory_region_get_ram_ptr(&ram) == own);
    memory_region_add_subregion(&system, 0, &ram);
    hears(&of_system, "bac");
    section_is(&of_system, &system, 0, sizeof(own), own, false);
    MemoryRegion alias = {0}, late_root = {0};
    memory_region_init_alias(&alias, NULL, "alias", &windowed->mr, 2 * page, page);
    memory_region_init(&late_root, NULL, NULL, 512 * page);
    memory_region_add_subregion(&late_root, 256 * page, &system);
    memory_region_add_subregion(&late_root, 0, &alias);
    watcher late = WATCHER;
    memory_listener_register(&late.listener, &late_root);
    hears(&late, "baaaaac"); /* ram, two mappings, the window, the alias */
    section_is(&late, &late_root, 0, page, at + 2 * page, false);
    memory_listener_unregister(&late.listener);
    hears(&late, "bdddddc");

    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    MemoryRegion nothing = {0};
    memory_region_add_subregion(&bar, 0, &late_root);         /* it would be in itself */
    memory_region_add_subregion(&shmem->mr, 10 * page, &ram); /* no mapping */
    mapping = some(virtio_shared_memory_mapping_new(1, fd, 0, 8 * page, page, false));
    memory_region_add_subregion(&shmem->mr, 9 * page, mapping->mr);    /* not its place */
    memory_region_add_subregion(&bar, 60 * page, mapping->mr);         /* not its region */
    memory_region_add_subregion(&windowed->mr, 8 * page, mapping->mr); /* likewise */
    memory_region_del_subregion(&shmem->mr, mapping->mr);              /* not there */
    memory_listener_register(&of_region.listener, &ram);               /* no container */
    memory_listener_register(&of_region.listener, &nothing);
    memory_region_init_alias(&nothing, NULL, NULL, &bar, 0, page);
    memory_region_init_alias(&nothing, NULL, NULL, &windowed->mr, 8 * page, page);
    EQ(warnings, 10);
    g_log_remove_handler("vhushmem", handler);
    CHECK(of_region.listener.vhushmem_state == NULL && nothing.vhushmem_state == NULL);
    object_unref(OBJECT(mapping));
    hears(&of_system, "");

    of_bar.heard[0] = 0;
    memory_region_del_subregion(&bar, &shmem->mr);
    hears(&of_bar, "bddc");
    hears(&of_system, "bddc");
    CHECK(!memory_region_is_mapped(&shmem->mr));
    virtio_del_shmem_map(shmem, 0, page);
    hears(&of_bar, "");
    memory_listener_unregister(&of_bar.listener);
    hears(&of_bar, "bdc");
    memory_listener_unregister(&of_system.listener);
    hears(&of_system, "bddc");
    memory_region_unref(&late_root);
    memory_region_unref(&alias);
    memory_region_unref(&system);
    memory_region_unref(&bar);
    memory_region_unref(&ram);
    close(fd);
    vhushmem_device_unref(vdev);
    same(fds, fds_now());
    return 0;
}
