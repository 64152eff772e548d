/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reset of a device with many mappings undoes some at once and the rest in the following turns. In between the counts are
 * right, nothing can be mapped and no second reset begins. RESET comes when all are gone. The connection may end meanwhile, and
 * the front-end may be freed. Without a back-end the rest goes in the same way.
 */
#include "many.h"
#include "reconnect-rig.h"

static int file;

static void open_full(rig *r)
{
    rig_open(r, MANY * PAGE, NULL);
    map_many(r->region, file);
}

static uint64_t left(const rig *r) { return left_in(r->region); }

static void begin(rig *r)
{
    ok(vhushmem_frontend_reset(r->frontend, &error));
    some_are_left(r->region);
}

static void in_turns(void)
{
    rig r;
    open_full(&r);
    begin(&r);
    refused(vhushmem_frontend_reset(r.frontend, &error), -EALREADY);
    message answer;
    VhostUserMMap map = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, MAP, 0x9, &map, sizeof(map), &file, 1);
    for (uint64_t before = left(&r); before > 0; before = left(&r)) {
        EQ(r.events[VHUSHMEM_EVENT_RESET], 0);
        ok(vhushmem_frontend_dispatch(r.frontend));
        CHECK(left(&r) < before);
        counts_are_right(r.region);
    }
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
    EQ((int64_t)u64_of(&answer), -ECANCELED);
    ok(wire_map(&r, 0, file, 0, 0, PAGE, 0));
    EQ(left(&r), 1);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    EQ(left(&r), 0);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 2);
    rig_close(&r);
}

static void connection_ends_meanwhile(void)
{
    rig r;
    open_full(&r);
    begin(&r);
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    EQ(left(&r), 0);
    EQ(r.events[VHUSHMEM_EVENT_RESET], 0);
    rig_close(&r);
}

/* The device is held: nothing is mapped when the call returns. */
static void freed_meanwhile(void)
{
    rig r;
    open_full(&r);
    begin(&r);
    vhushmem_device *device = vhushmem_device_ref(r.device);
    rig_close(&r);
    EQ(vhushmem_device_mapping_count(device), 0);
    vhushmem_device_unref(device);
}

/* Nothing but the mappings that are left wakes the loop. */
static void without_a_back_end(void)
{
    coming_rig c;
    coming_open(&c, true, 0);
    coming_prepare(&c);
    c.r.peer.config.memory_sizes[0] = MANY * PAGE;
    coming_arrive(&c);
    PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_READY] == 1);
    rig_connected(&c.r);
    coming_leave(&c);
    map_many(c.r.region, file);
    usleep(100000); /* five times reconnect_ms: it listens again, and has nothing else to do */
    pump(c.r.frontend);
    refused(vhushmem_frontend_reset(c.r.frontend, &error), -ENOTCONN);
    some_are_left(c.r.region);
    PUMP_UNTIL(c.r.frontend, left(&c.r) == 0);
    coming_close(&c);
}

int main(void)
{
    file = memfd_of(2 * PAGE, 1);
    in_turns();
    connection_ends_meanwhile();
    freed_meanwhile();
    without_a_back_end();
    close(file);
    return 0;
}
