/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener may be unregistered after the front-end was freed, and its device with it. That touches nothing that is gone. */
#include "rig.h"

#include <vhushmem/series.h>

static int added, removed;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    added++;
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    removed++;
}

int main(void)
{
    rig r;
    MemoryListener listener = {.region_add = region_add, .region_del = region_del, .name = "test"};
    rig_open(&r, 16 * PAGE, NULL);
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    int fd = memfd_of(PAGE, 1);
    ok(wire_map(&r, 0, fd, 0, 0, PAGE, 0));
    rig_close(&r);
    EQ(added, 1);
    EQ(removed, 1);
    memory_listener_unregister(&listener);
    EQ(removed, 1);
    close(fd);
    return 0;
}
