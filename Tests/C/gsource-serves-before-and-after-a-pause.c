/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A GSource watches a busy session's sockets in another way than an idle one's. In both ways, and when it changes between
 * them, requests are served, the main socket is read, earlier events are told, and the end is seen. A loop with nothing to
 * do finds nothing.
 */
#include "device-rig.h"

#define BUSY 64   /* more requests than make a session busy */
#define TURNS 600 /* more turns than make it idle */

static int file, answered;

static void note_answer(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    EQ(reply->result, 0);
    answered++;
}

static void turn_until_answered(rig *r, uint32_t request, const VhostUserMMap *map)
{
    message answer;
    send_message(r->channel, request, 0x9, map, sizeof(*map), &file, request == MAP ? 1 : 0);
    for (int i = 0; !wait_readable(r->channel, 0); i++) {
        CHECK(i < 100); /* the answer is there: one turn is enough, and another one if that finds something else to do */
        g_main_context_iteration(NULL, FALSE);
    }
    EQ(receive(r->channel, &answer, PATIENCE_MS), 1);
    EQ(u64_of(&answer), 0);
}

static void is_served(rig *r, int pairs)
{
    VhostUserMMap map = mmap_of(0, 0, PAGE, PAGE, 0);
    for (int i = 0; i < pairs; i++) {
        turn_until_answered(r, MAP, &map);
        shows(r->region, PAGE, PAGE, 1, 0);
        turn_until_answered(r, UNMAP, &map);
    }
}

static void main_is_read(rig *r)
{
    int before = answered;
    ok(vhushmem_frontend_get_config_async(r->frontend, 0, 1, note_answer, NULL, NULL, &error));
    while (answered == before) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static void has_nothing_to_do(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {}
    for (int i = 0; i < TURNS; i++) {
        CHECK(!g_main_context_iteration(NULL, FALSE));
    }
}

static void open_it(rig *r)
{
    device_rig_open(r, 1, DEVICE_FEATURES);
    GSource *source = some(vhushmem_frontend_source_new(r->frontend));
    g_source_attach(source, NULL);
    g_source_unref(source);
}

static void ends(rig *r)
{
    peer_hang_up(&r->peer);
    while (r->events[VHUSHMEM_EVENT_DISCONNECT] == 0) {
        g_main_context_iteration(NULL, TRUE);
    }
    has_nothing_to_do();
    rig_close(r);
}

int main(void)
{
    rig r;
    file = memfd_of(PAGE, 1);
    open_it(&r);
    for (int round = 0; round < 3; round++) {
        has_nothing_to_do();
        is_served(&r, 1);
        main_is_read(&r);
        is_served(&r, BUSY);
        main_is_read(&r);
        ok(vhushmem_frontend_reset(r.frontend, &error));
        while (r.events[VHUSHMEM_EVENT_RESET] <= round) {
            g_main_context_iteration(NULL, TRUE);
        }
    }
    ends(&r); /* busy */
    open_it(&r);
    is_served(&r, BUSY);
    has_nothing_to_do();
    ends(&r); /* idle */
    close(file);
    return 0;
}
