/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A callback of a channel turns a main loop while the back-end sends requests without end. Their events wait until it has
 * returned, in order. The callback is also told of events from before it was set.
 */
#include "channel-rig.h"

#define REQUESTS 3000

static channel_rig r;
static GMainContext *context;
static bool inside;
static uint32_t told;

static void on_event(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    (void)channel;
    (void)user_data;
    if (event->type != VHUSHMEM_EVENT_OTHER_REQUEST) {
        return;
    }
    CHECK(!inside);
    inside = true;
    EQ(event->request, 100 + told % 100);
    uint32_t before = ++told;
    for (int turn = 0; turn < 40; turn++) {
        g_main_context_iteration(context, FALSE);
    }
    EQ(told, before);
    inside = false;
}

static uint32_t send_some(int socket, uint32_t sent, uint32_t count)
{
    while (sent < count) {
        uint32_t header[3] = {100 + sent % 100, 1, 0};
        if (send(socket, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            break;
        }
        sent++;
    }
    return sent;
}

int main(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r.peer = pair[1];
    r.device = some(vhushmem_device_new(NULL, &error));
    r.channel = some(vhushmem_channel_new(pair[0], r.device, NULL, &error));
    context = g_main_context_new();
    GSource *source = some(vhushmem_channel_source_new(r.channel));
    g_source_attach(source, context);
    uint32_t sent = send_some(r.peer, 0, 3);
    while (g_main_context_iteration(context, FALSE)) {}
    ok(vhushmem_channel_set_callback(r.channel, on_event, NULL, NULL));
    while (told < REQUESTS) {
        sent = send_some(r.peer, sent, REQUESTS);
        g_main_context_iteration(context, FALSE);
    }
    EQ(told, REQUESTS);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_context_unref(context);
    channel_rig_close(&r);
    return 0;
}
