/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection ends in the middle of a reset, and its mappings go with it. A listener that dispatches meanwhile finds no
 * back-end, and the front-end looks for no other one before the end was told.
 */
#include "reconnect-rig.h"

#include <vhushmem/series.h>

static coming_rig c;
static bool ends;
static int dels, dispatched;

static void dispatch(MemoryListener *listener)
{
    (void)listener;
    while (ends && dispatched < 50) { /* longer than the front-end takes to look for a back-end */
        dispatched++;
        EQ(vhushmem_frontend_dispatch(c.r.frontend), 0);
        EQ(c.r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
        CHECK(!vhushmem_frontend_is_ready(c.r.frontend));
        usleep(1000);
    }
}

static void count(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    dels++;
}

int main(void)
{
    char *fds = fds_now();
    MemoryListener listener = {.region_del = count, .commit = dispatch};
    int file = memfd_of(PAGE, 1);
    coming_open(&c, false, 0);
    coming_ready(&c);
    memory_listener_register(&listener, virtio_shmem_memory_region(c.r.region));
    c.r.peer.mute = RESET_DEVICE;
    ok(vhushmem_frontend_reset(c.r.frontend, &error));
    PUMP_UNTIL(c.r.frontend, peer_heard(&c.r.peer, RESET_DEVICE, 0) != NULL);
    /* A mapping that the VMM makes meanwhile goes with the connection. */
    ok(vhushmem_region_map(c.r.region, file, 0, 0, PAGE, 0, &error));
    ends = true;
    coming_leave(&c);
    EQ(dels, 1);
    EQ(dispatched, 50);
    ends = false;
    /* The next back-end hears of the reset, and all goes on. */
    coming_ready(&c);
    PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_RESET] == 1);
    CHECK(peer_heard(&c.r.peer, RESET_DEVICE, 0) != NULL);
    memory_listener_unregister(&listener);
    coming_leave(&c);
    coming_close(&c);
    close(file);
    same(fds, fds_now());
    return 0;
}
