/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection, or a channel, that ends with many mappings undoes some at once and the rest in the following turns. The event
 * comes when all are gone, and a back-end that comes back finds nothing of the one before. Calls in between see correct counts
 * and the end of the connection.
 */
#include "many.h"

#include "channel-rig.h"
#include "reconnect-rig.h"

static int file;

static void open_full(rig *r, uint32_t flags)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = flags};
    rig_open(r, MANY * PAGE, &options);
    map_many(r->region, file);
}

/* Dispatches until no mapping is left. Each time some go, and no event comes before the end. */
static void goes_in_turns(rig *r, int event)
{
    for (uint64_t before = left_in(r->region); before > 0; before = left_in(r->region)) {
        EQ(r->events[event], 0);
        CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(r->frontend)), PATIENCE_MS));
        EQ(vhushmem_frontend_dispatch(r->frontend), 0);
        CHECK(left_in(r->region) < before);
        counts_are_right(r->region);
    }
    EQ(r->events[event], 1);
}

static void of_the_back_end(void)
{
    rig r;
    open_full(&r, 0);
    peer_hang_up(&r.peer);
    STEP_UNTIL(left_in(r.region) < MANY, pump_once(r.frontend));
    some_are_left(r.region);
    CHECK(!vhushmem_frontend_is_ready(r.frontend));
    refused(vhushmem_frontend_reset(r.frontend, &error), -ENOTCONN);
    char *status = vhushmem_status_json(r.frontend);
    CHECK(strstr(status, "\"state\":\"disconnected\"") != NULL);
    g_free(status);
    goes_in_turns(&r, VHUSHMEM_EVENT_DISCONNECT);
    EQ(vhushmem_frontend_dispatch(r.frontend), -ENOTCONN);
    rig_close(&r);
}

/* The back-end closes its end of the channel. The connection lives. */
static void of_the_channel(void)
{
    rig r;
    open_full(&r, 0);
    shutdown(r.channel, SHUT_RDWR);
    STEP_UNTIL(left_in(r.region) < MANY, pump_once(r.frontend));
    some_are_left(r.region);
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    goes_in_turns(&r, VHUSHMEM_EVENT_CHANNEL_LOST);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    rig_close(&r);
}

/* A channel alone, whose peer went while there were many mappings. Returns its region, some of which is left. */
static vhushmem_region *open_ending(channel_rig *r)
{
    channel_rig_open(r, NULL);
    vhushmem_region *region = some(vhushmem_region_new(r->device, 1, MANY * PAGE, NULL, &error));
    map_many(region, file);
    shutdown(r->peer, SHUT_RDWR);
    EQ(vhushmem_channel_dispatch(r->channel), 0);
    some_are_left(region);
    return region;
}

static void of_a_channel_alone(void)
{
    channel_rig r;
    vhushmem_region *region = open_ending(&r);
    CHECK(!vhushmem_channel_is_open(r.channel));
    for (uint64_t before = left_in(region); before > 0; before = left_in(region)) {
        EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 0);
        CHECK(wait_readable((int)ok(vhushmem_channel_get_fd(r.channel)), PATIENCE_MS));
        EQ(vhushmem_channel_dispatch(r.channel), 0);
        CHECK(left_in(region) < before);
        counts_are_right(region);
    }
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    EQ(vhushmem_channel_dispatch(r.channel), -ENOTCONN);
    channel_rig_close(&r);
}

/* Freed in the middle: the rest goes at once, since the device is held. */
static void freed_meanwhile(uint32_t flags)
{
    rig r;
    open_full(&r, flags);
    vhushmem_device *device = vhushmem_device_ref(r.device);
    if (flags != 0) { /* a reset undoes them all nevertheless */
        ok(vhushmem_frontend_reset(r.frontend, &error));
    }
    peer_hang_up(&r.peer);
    STEP_UNTIL(!vhushmem_frontend_is_ready(r.frontend), pump_once(r.frontend));
    some_are_left(r.region);
    rig_close(&r);
    EQ(vhushmem_device_mapping_count(device), 0);
    vhushmem_device_unref(device);

    channel_rig c;
    vhushmem_region *region = open_ending(&c);
    vhushmem_channel_free(c.channel);
    EQ(left_in(region), 0);
    vhushmem_device_unref(c.device);
    close(c.peer);
}

static void turn(coming_rig *c)
{
    CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(c->r.frontend)), PATIENCE_MS));
    vhushmem_frontend_dispatch(c->r.frontend);
}

/* This back-end has 16 regions of 16 pages. Together with one of the program's regions, they are many mappings. */
static void before_the_next_one(void)
{
    coming_rig c;
    coming_open(&c, false, 0);
    coming_ready(&c);
    vhushmem_region *region = some(vhushmem_region_new(c.r.device, 9, MANY * PAGE, NULL, &error));
    map_many(region, file);
    EQ(rig_map(&c.r, file, 0, 0, PAGE, 0), 0);
    peer_hang_up(&c.r.peer);
    STEP_UNTIL(!vhushmem_frontend_is_ready(c.r.frontend), pump_once(c.r.frontend));
    while (left_in(region) > 0) {
        EQ(c.r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
        CHECK(!wait_readable(c.listener, 0));
        turn(&c);
    }
    EQ(c.r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    peer_end(&c.r.peer);
    coming_ready(&c);
    EQ(rig_map(&c.r, file, 0, 0, PAGE, 0), 0);
    EQ(vhushmem_device_mapping_count(c.r.device), 1);
    /* A reset while no back-end is there goes in turns too. */
    coming_leave(&c);
    map_many(region, file);
    refused(vhushmem_frontend_reset(c.r.frontend, &error), -ENOTCONN);
    some_are_left(region);
    while (left_in(region) > 0) {
        CHECK(!wait_readable(c.listener, 0));
        turn(&c);
    }
    coming_ready(&c);
    coming_leave(&c);
    coming_close(&c);
}

int main(void)
{
    file = memfd_of(2 * PAGE, 1);
    of_the_back_end();
    of_the_channel();
    of_a_channel_alone();
    freed_meanwhile(0);
    freed_meanwhile(VHUSHMEM_FRONTEND_KEEP_MAPPINGS);
    before_the_next_one();
    close(file);
    return 0;
}
