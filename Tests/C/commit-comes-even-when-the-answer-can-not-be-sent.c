/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end closes its channel before the answer. Listeners still get the commit of what they were told. */
#include "rig.h"

#include <vhushmem/series.h>

static char heard[64];

static void begin(MemoryListener *listener)
{
    (void)listener;
    strcat(heard, "b");
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    strcat(heard, "d");
}

static void commit(MemoryListener *listener)
{
    (void)listener;
    strcat(heard, "c");
}

int main(void)
{
    rig r;
    MemoryListener listener = {.begin = begin, .region_del = region_del, .commit = commit, .name = "test"};
    rig_open(&r, 16 * PAGE, NULL);
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    int fd = memfd_of(PAGE, 1);
    ok(wire_map(&r, 0, fd, 0, 0, PAGE, 0));
    heard[0] = 0;
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, UNMAP, 0x9, &m, sizeof(m), NULL, 0);
    close(r.channel);
    r.peer.channel = -1;
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    if (strcmp(heard, "bdc") != 0) {
        FAIL("heard \"%s\", not \"bdc\"", heard);
    }
    memory_listener_unregister(&listener);
    rig_close(&r);
    close(fd);
    return 0;
}
