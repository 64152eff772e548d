/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A callback that hears of a loss may dispatch until the next back-end is ready, and send it requests. Messages to the last
 * back-end do not mix with those.
 */
#include "reconnect-rig.h"

static coming_rig c;
static int armed, first = 99, get = 99, set = 99;

static void ended(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    *(int *)user_data = reply->result;
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    rig_event(frontend, event, user_data);
    if (event->type != VHUSHMEM_EVENT_DISCONNECT || armed == 0) {
        return;
    }
    bool asks = armed == 2;
    armed = 0;
    peer_end(&c.r.peer);
    c.r.peer.heard_count = 0;
    /* READY waits until this callback has returned. */
    coming_prepare(&c);
    coming_arrive(&c);
    PUMP_UNTIL(c.r.frontend, vhushmem_frontend_is_ready(c.r.frontend));
    rig_connected(&c.r);
    if (asks) {
        ok(vhushmem_frontend_get_device_status_async(frontend, ended, &get, NULL, &error));
        ok(vhushmem_frontend_set_device_status_async(frontend, 3, ended, &set, NULL, &error));
    }
}

int main(void)
{
    for (int how = 1; how <= 2; how++) {
        coming_open(&c, false, 0);
        coming_ready(&c);
        ok(vhushmem_frontend_set_callback(c.r.frontend, on_event, &c.r, NULL));
        armed = how;
        first = get = set = 99;
        peer_hang_up(&c.r.peer);
        vhushmem_frontend_set_device_status_async(c.r.frontend, 1, ended, &first, NULL, &error);
        g_clear_error(&error);
        CHECK(vhushmem_frontend_is_ready(c.r.frontend));
        PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_READY] > 0 && first != 99);
        EQ(first, -ECONNRESET);
        if (how == 2) {
            PUMP_UNTIL(c.r.frontend, get != 99 && set != 99);
            EQ(get, 0);
            EQ(set, 0);
            EQ(device_status, 3);
        }
        coming_leave(&c);
        coming_close(&c);
    }
    return 0;
}
