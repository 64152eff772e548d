/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that stops reading, and owes no answer: the time limit of requests ends it. */
#include "rig.h"

enum { UNKNOWN = 77, MANY = 600 };

static int told;

static void count_it(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)reply;
    (void)user_data;
    told++;
}

int main(void)
{
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = 200};
    int file = memfd_of(PAGE, 1);
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    r.peer.deaf_after_second = UNKNOWN;
    rig_connect(&r, &options);
    /* None is acknowledged, each has a descriptor: more than the kernel lets be under way. */
    for (int i = 0; i < MANY; i++) {
        ok(vhushmem_frontend_request_async(r.frontend, UNKNOWN, NULL, 0, &file, 1, 0, count_it, NULL, NULL, &error));
    }
    CHECK(told < MANY);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] > 0);
    EQ(told, MANY);
    EQ(r.last.result, -ETIMEDOUT);
    CHECK(strstr(r.said, "took no request in 200 ms") != NULL);
    rig_close(&r);
    return 0;
}
