/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener unregisters another one in a callback, and frees it. The other one is not called any more. */
#include "rig.h"

#include <vhushmem/series.h>

static MemoryListener *other;
static int calls, calls_of_other;

static void take_other_out(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    calls++;
    if (other != NULL) {
        memory_listener_unregister(other);
        free(other);
        other = NULL;
    }
}

static void count_other(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    calls_of_other++;
}

int main(void)
{
    rig r;
    MemoryListener listener = {.region_add = take_other_out, .name = "first"};
    other = calloc(1, sizeof(*other));
    CHECK(other != NULL);
    *other = (MemoryListener){.region_add = count_other, .name = "other", .priority = 1};
    rig_open_plain(&r, 16 * PAGE, NULL, NULL);
    MemoryRegion *container = some(virtio_shmem_memory_region(r.region));
    memory_listener_register(&listener, container);
    memory_listener_register(other, container);
    int fd = memfd_of(PAGE, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 0, PAGE, 0, &error));
    ok(vhushmem_region_map(r.region, fd, 0, PAGE, PAGE, 0, &error));
    EQ(calls, 2);
    EQ(calls_of_other, 0);
    memory_listener_unregister(&listener);
    close(fd);
    rig_close(&r);
    return 0;
}
