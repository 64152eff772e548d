/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * While the callback of a request runs, no event and no reply is told: neither when it dispatches, nor when it frees the
 * front-end. They come when it has returned.
 */
#include "device-rig.h"

static rig r;
static int inside, events_inside, replies, replies_inside;
static bool frees;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    events_inside += inside;
    rig_event(frontend, event, user_data);
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    EQ(reply->result, frees ? -ECONNABORTED : 0);
    replies++;
    replies_inside += inside;
}

static int on_request(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    (void)request;
    (void)user_data;
    inside = 1;
    if (frees) {
        vhushmem_frontend_free(frontend);
    } else {
        /* The answers to its requests are there, and the dispatch reads them. */
        for (int i = 0; i < 5; i++) {
            usleep(20000);
            vhushmem_frontend_dispatch(frontend);
        }
    }
    inside = 0;
    return 0;
}

int main(void)
{
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_callback(r.frontend, on_event, &r, NULL));
    ok(vhushmem_frontend_set_request_callback(r.frontend, on_request, NULL, NULL));
    send_message(r.channel, 5, 0x9, NULL, 0, NULL, 0);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    ok(vhushmem_frontend_get_device_status_async(r.frontend, on_reply, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_OTHER_REQUEST] == 1 && replies == 1);
    EQ(r.events[VHUSHMEM_EVENT_RESET], 1);
    EQ(events_inside, 0);
    EQ(replies_inside, 0);

    frees = true;
    send_message(r.channel, 5, 0x9, NULL, 0, NULL, 0);
    r.peer.mute = GET_STATUS;
    ok(vhushmem_frontend_get_device_status_async(r.frontend, on_reply, NULL, NULL, &error));
    while (replies < 2) {
        vhushmem_frontend_dispatch(r.frontend);
    }
    EQ(replies_inside, 0);
    peer_end(&r.peer);
    return 0;
}
