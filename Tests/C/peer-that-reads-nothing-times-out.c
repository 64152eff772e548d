/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end stops reading in the middle of the handshake, and owes no answer. The time limit of requests ends it. */
#include "rig.h"

/* Whether the limit ended it. Otherwise the peer's thread did not run in time to give its first answers. */
static bool ends_it(unsigned limit_ms)
{
    rig r;
    char *said = g_strdup_printf("read no request in %u ms", limit_ms);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = 256, .request_timeout_ms = limit_ms};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    /* Each queue takes two messages with a descriptor, and none is acknowledged: more than the kernel allows on their way. */
    r.peer.queues = 256;
    r.peer.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    r.peer.deaf_after_second = GET_FEATURES;
    rig_new(&r, &options);
    int64_t start = now_ms();
    EQ(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error), -ETIMEDOUT);
    CHECK(now_ms() - start >= limit_ms - 10);
    bool ended = strstr(error->message, said) != NULL;
    CHECK(ended || strstr(error->message, "answer") != NULL);
    g_clear_error(&error);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    rig_close(&r);
    g_free(said);
    return ended;
}

int main(void)
{
    unsigned limit_ms = 200;
    while (!ends_it(limit_ms)) {
        limit_ms *= 2;
        CHECK(limit_ms < (unsigned)PATIENCE_MS / 2);
    }
    return 0;
}
