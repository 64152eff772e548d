/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end sends many requests in one write. A loop inside an event's callback serves those that the turn around it has
 * read already. A loop inside a request's callback sleeps, whatever an inner turn has left: the request comes first.
 */
#include "channel-rig.h"

#define OTHER 100
#define MANY 300

static channel_rig c;
static GMainContext *context;
static int inner, asked;

/* Every request but the first and each seventh is not a mapping, so that the callback is asked. */
static void send_many(void)
{
    static uint8_t bytes[MANY * 52];
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    for (int i = 0; i < MANY; i++) {
        VhostUserHeader h = {i % 7 == 0 ? UNMAP : OTHER, 0x1, 40};
        memcpy(bytes + i * 52, &h, 12);
        memcpy(bytes + i * 52 + 12, &m, 40);
    }
    send_bytes(c.peer, bytes, sizeof(bytes), NULL, 0);
}

static void dispatch_inside(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    (void)user_data;
    if (event->type == VHUSHMEM_EVENT_UNMAP) {
        inner += ok(vhushmem_channel_dispatch(channel)) > 0;
    }
}

static int loop_sleeps(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)user_data;
    EQ(request->request, OTHER);
    asked++;
    /* The first turn learns that nothing can be served. */
    EQ(vhushmem_channel_dispatch(channel), 0);
    CHECK(!has_work((int)ok(vhushmem_channel_get_fd(channel))));
    return 0;
}

static void in_the_callback_of_a_request(void)
{
    channel_rig_open(&c, NULL);
    ok(vhushmem_channel_set_callback(c.channel, dispatch_inside, NULL, NULL));
    ok(vhushmem_channel_set_request_callback(c.channel, loop_sleeps, NULL, NULL));
    send_many();
    pump_channel(c.channel);
    CHECK(inner > 0);
    EQ(asked, MANY - (MANY + 6) / 7);
    channel_rig_close(&c);
}

static void loop_inside(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    channel_rig_event(channel, event, user_data);
    if (event->type == VHUSHMEM_EVENT_UNMAP && c.events[VHUSHMEM_EVENT_UNMAP] == 1) {
        STEP_UNTIL(wait_readable(c.peer, 1), g_main_context_iteration(context, FALSE));
    }
}

/* Only the second of two requests has an answer. */
static void in_the_callback_of_an_event(void)
{
    channel_rig_open(&c, NULL);
    ok(vhushmem_channel_set_callback(c.channel, loop_inside, &c, NULL));
    context = g_main_context_new();
    GSource *source = some(vhushmem_channel_source_new(c.channel));
    g_source_attach(source, context);
    int file = memfd_of(PAGE, 1);
    for (uint64_t page = 0; page < 2; page++) {
        VhostUserMMap m = mmap_of(0, 0, page * PAGE, PAGE, 0);
        send_message(c.peer, MAP, 0x1, &m, sizeof(m), &file, 1);
    }
    STEP_UNTIL(c.events[VHUSHMEM_EVENT_MAP] == 2, g_main_context_iteration(context, FALSE));

    uint8_t bytes[2 * 52];
    for (uint64_t page = 0; page < 2; page++) {
        VhostUserHeader h = {UNMAP, page == 0 ? 0x1 : 0x9, 40};
        VhostUserMMap m = mmap_of(0, 0, page * PAGE, PAGE, 0);
        memcpy(bytes + page * 52, &h, 12);
        memcpy(bytes + page * 52 + 12, &m, 40);
    }
    send_bytes(c.peer, bytes, sizeof(bytes), NULL, 0);
    STEP_UNTIL(c.events[VHUSHMEM_EVENT_UNMAP] == 2, g_main_context_iteration(context, FALSE));
    EQ(vhushmem_region_mapping_count(c.region), 0);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_context_unref(context);
    channel_rig_close(&c);
    close(file);
}

int main(void)
{
    in_the_callback_of_a_request();
    in_the_callback_of_an_event();
    return 0;
}
