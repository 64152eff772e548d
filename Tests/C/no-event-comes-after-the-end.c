/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection may end while a reset, or a lost channel, undoes mappings. It is over then: no event comes after the end. */
#include "rig.h"

#include <vhushmem/series.h>

static rig r;
static int hang_ups;

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    if (hang_ups++ == 0) {
        peer_hang_up(&r.peer);
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    }
}

static void ends_inside(bool loses_channel)
{
    int file = memfd_of(PAGE, 1);
    MemoryListener listener = {.region_del = region_del, .name = "test"};
    rig_open(&r, 16 * PAGE, NULL);
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    hang_ups = 0;
    EQ(wire_map(&r, 0, file, 0, 0, PAGE, 0), 0);
    if (loses_channel) {
        shutdown(r.channel, SHUT_RDWR);
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    } else {
        err(vhushmem_frontend_reset(r.frontend, &error), -ENOTCONN);
    }
    CHECK(hang_ups > 0);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    EQ(r.events[VHUSHMEM_EVENT_RESET], 0);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 0);
    EQ(r.last.type, VHUSHMEM_EVENT_DISCONNECT);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    memory_listener_unregister(&listener);
    rig_close(&r);
    close(file);
}

int main(void)
{
    ends_inside(false);
    ends_inside(true);
    return 0;
}
