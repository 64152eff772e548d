/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A callback makes a blocking call or turns a main loop while the back-end sends requests without end. Their events wait
 * until it has returned, in order and bounded: the stack does not grow, and nothing is lost.
 */
#include "device-rig.h"

#define REQUESTS 3000

static rig r;
static GMainContext *context;
static bool inside, asks;
static int told;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    rig_event(frontend, event, user_data);
    if (event->type != VHUSHMEM_EVENT_OTHER_REQUEST) {
        return;
    }
    CHECK(!inside);
    inside = true;
    EQ(event->request, 100 + told % 100);
    told++;
    int before = told;
    if (asks) {
        uint8_t byte;
        ok(vhushmem_frontend_get_config(frontend, 0, &byte, 1, &error));
    } else {
        for (int turn = 0; turn < 40; turn++) {
            g_main_context_iteration(context, FALSE);
        }
    }
    EQ(told, before);
    inside = false;
}

/* Sends as many as the socket takes. Returns how many were sent. */
static int send_some(int sent, int count)
{
    while (sent < count) {
        uint32_t header[3] = {100 + (uint32_t)sent % 100, 1, 0};
        if (send(r.channel, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            break;
        }
        sent++;
    }
    return sent;
}

static void run(bool with_calls)
{
    asks = with_calls;
    told = 0;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, &r, NULL));
    context = g_main_context_new();
    GSource *source = some(vhushmem_frontend_source_new(r.frontend));
    g_source_attach(source, context);
    int sent = 0;
    while (told < REQUESTS) {
        sent = send_some(sent, REQUESTS);
        g_main_context_iteration(context, FALSE);
    }
    EQ(told, REQUESTS);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_context_unref(context);
    rig_close(&r);
}

int main(void)
{
    run(false);
    run(true);
    return 0;
}
