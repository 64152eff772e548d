/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappings are undone because a channel or a connection is lost, or because of a reset. A loop inside a listener finds nothing
 * to do: no turn can undo more before the listener has returned. Afterwards the rest goes in the turns of the loop.
 */
#include "channel-rig.h"

#include <vhushmem/series.h>

#define MAPPINGS 3

static channel_rig c;
static rig r;
static int dels;

static void turn_of_a_channel(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    dels++;
    EQ(vhushmem_channel_dispatch(c.channel), 0);
    CHECK(!has_work((int)ok(vhushmem_channel_get_fd(c.channel))));
}

static void turn_of_a_front_end(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    dels++;
    EQ(vhushmem_frontend_dispatch(r.frontend), 0);
    CHECK(!has_work((int)ok(vhushmem_frontend_get_fd(r.frontend))));
}

static void channel_is_lost(void)
{
    MemoryListener listener = {.region_del = turn_of_a_channel};
    int file = memfd_of(PAGE, 1);
    channel_rig_open(&c, NULL);
    memory_listener_register(&listener, virtio_shmem_memory_region(c.region));
    for (uint64_t i = 0; i < MAPPINGS; i++) {
        EQ(channel_rig_map(&c, file, i * PAGE, PAGE), 0);
    }
    dels = 0;
    close(c.peer);
    c.peer = -1;
    STEP_UNTIL(c.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1, pump_channel(c.channel));
    EQ(dels, MAPPINGS);
    memory_listener_unregister(&listener);
    channel_rig_close(&c);
    close(file);
}

static void lose_channel(void)
{
    close(r.channel);
    r.channel = -1;
}

static void lose_connection(void) { peer_hang_up(&r.peer); }

static void reset(void) { ok(vhushmem_frontend_reset(r.frontend, &error)); }

static void front_end_undoes(void (*begin)(void), vhushmem_event_type told)
{
    MemoryListener listener = {.region_del = turn_of_a_front_end};
    int file = memfd_of(PAGE, 1);
    rig_open(&r, 16 * PAGE, NULL);
    for (uint64_t i = 0; i < MAPPINGS; i++) {
        ok(wire_map(&r, 0, file, 0, i * PAGE, PAGE, 0));
    }
    memory_listener_register(&listener, virtio_shmem_memory_region(r.region));
    dels = 0;
    begin();
    PUMP_UNTIL(r.frontend, r.events[told] == 1);
    EQ(dels, MAPPINGS);
    memory_listener_unregister(&listener);
    rig_close(&r);
    close(file);
}

int main(void)
{
    channel_is_lost();
    front_end_undoes(lose_channel, VHUSHMEM_EVENT_CHANNEL_LOST);
    front_end_undoes(lose_connection, VHUSHMEM_EVENT_DISCONNECT);
    front_end_undoes(reset, VHUSHMEM_EVENT_RESET);
    return 0;
}
