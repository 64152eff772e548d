/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A listener that registers with a full container hears of all that is below it, at the container's offsets. Disabled
 * regions are left out, and a section is read-only if any region on its way is. When the listener goes, it hears the same in
 * the reverse order.
 */
#include "watcher.h"

int main(void)
{
    uint64_t page = PAGE;
    char *fds = fds_now();
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 1, 16 * page));
    VirtioSharedMemory *windowed = some(vhushmem_region_new(vdev, 2, 8 * page, NULL, &error));
    MemoryRegion system = {0}, bar = {0}, ram = {0}, rom = {0}, hidden = {0}, empty = {0};
    watcher w, of_region, of_bar;
    int fd = memfd_of(4 * page, 1);
    char *own = g_malloc0(2 * page);
    memory_region_init(&system, NULL, "system", 256 * page);
    memory_region_init(&bar, NULL, "bar", 64 * page);
    memory_region_init_ram_ptr(&ram, NULL, "ram", 2 * page, own);
    memory_region_init_ram_ptr(&rom, NULL, "rom", page, own);
    memory_region_init_ram_ptr(&hidden, NULL, "hidden", page, own);
    memory_region_init(&empty, NULL, "empty", page);
    memory_region_add_subregion(&system, 0, &ram);
    memory_region_add_subregion(&system, 100 * page, &bar);
    memory_region_add_subregion(&bar, 10 * page, &shmem->mr);
    memory_region_add_subregion(&bar, 30 * page, &windowed->mr);
    memory_region_add_subregion(&bar, 50 * page, &rom);
    memory_region_add_subregion(&bar, 51 * page, &hidden);
    memory_region_add_subregion(&system, 200 * page, &empty);
    memory_region_set_readonly(&rom, true);
    memory_region_set_enabled(&hidden, false);
    ok(vhushmem_region_map(shmem, fd, 0, 2 * page, page + 1, VHOST_USER_FLAG_MAP_RW, &error)); /* it owns two pages */
    ok(vhushmem_region_map(shmem, fd, 0, 5 * page, page, 0, &error));
    ok(vhushmem_region_map(windowed, fd, 0, 0, page, 0, &error));
    watch(&w, &system);
    hears(&w, "b +0x2 +112x2 +115r +130x8 +150r c");
    watch(&of_region, &shmem->mr);
    hears(&of_region, "b +2x2 +5r c");
    watch(&of_bar, &empty);
    unwatch(&of_bar, ""); /* nothing to tell, nothing to commit */

    /* A present listener hears nothing again when the region is put into a larger one. */
    MemoryRegion other = {0};
    memory_region_init(&other, NULL, "other", 64 * page);
    watch(&of_bar, &other);
    memory_region_del_subregion(&bar, &shmem->mr);
    hears(&w, "b -115r -112x2 c");
    memory_region_add_subregion(&other, 0, &shmem->mr);
    hears(&of_bar, "b +2x2 +5r c");
    hears(&of_region, "");
    unwatch(&of_bar, "b -5r -2x2 c");
    memory_region_del_subregion(&other, &shmem->mr);
    memory_region_add_subregion(&bar, 10 * page, &shmem->mr);
    hears(&w, "b +112x2 +115r c");
    hears(&of_region, "");
    unwatch(&of_region, "b -5r -2x2 c");

    /* For new sections, read-only and disabled count on the whole way up. */
    memory_region_set_readonly(&bar, true);
    hears(&w, "b -115r -112x2 -150r -130x8 +130x8r +150r +112x2r +115r c");
    memory_region_set_readonly(&bar, true);
    hears(&w, "");
    watch(&of_bar, &bar);
    hears(&of_bar, "b +30x8r +50r +12x2r +15r c");
    ok(vhushmem_region_map(shmem, fd, 0, 8 * page, page, VHOST_USER_FLAG_MAP_RW, &error));
    hears(&w, "b +118r c");
    hears(&of_bar, "b +18r c");
    unwatch(&of_bar, "b -18r -15r -12x2r -50r -30x8r c");
    memory_region_set_readonly(&bar, false);
    memory_region_set_readonly(&shmem->mr, true);
    hears(&w, "b -118r -115r -112x2r -150r -130x8r +130x8 +150r +112x2 +115r +118 c b -118 -115r -112x2 +112x2r +115r +118r c");
    ok(vhushmem_region_map(shmem, fd, 0, 9 * page, page, VHOST_USER_FLAG_MAP_RW, &error));
    hears(&w, "b +119r c");
    memory_region_set_enabled(&bar, false);
    hears(&w, "b -119r -118r -115r -112x2r -150r -130x8 c");
    EQ(vhushmem_region_unmap_all(shmem), 4);
    hears(&w, "");

    /* A disabled region's own listeners see what is in it. */
    watch(&of_bar, &bar);
    hears(&of_bar, "b +30x8 +50r c");
    unwatch(&of_bar, "b -50r -30x8 c");
    memory_region_set_enabled(&bar, true);
    hears(&w, "b +130x8 +150r c");

    /* Only the window's own container has the mappings in it. */
    ok(vhushmem_region_unmap(windowed, 0, page, &error));
    hears(&w, "");
    ok(vhushmem_region_map(windowed, fd, 0, 3 * page, page, 0, &error));
    watch(&of_region, &windowed->mr);
    hears(&of_region, "b +3r c");
    ok(vhushmem_region_map(windowed, fd, 0, 0, page, 0, &error));
    ok(vhushmem_region_unmap(windowed, 0, page, &error));
    hears(&w, "");
    unwatch(&of_region, "b +0r c b -0r c b -3r c");
    unwatch(&w, "b -150r -130x8 -0x2 c");

    MemoryRegion *all[] = {&other, &system, &bar, &ram, &rom, &hidden, &empty};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        memory_region_unref(all[i]);
    }
    close(fd);
    vhushmem_device_unref(vdev);
    g_free(own);
    same(fds, fds_now());
    return 0;
}
