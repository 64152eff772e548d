/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that only polls the descriptor learns that a time limit has passed: the descriptor becomes readable then, and no
 * earlier.
 */
#include "rig.h"

int main(void)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = 300};
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.mute = GET_FEATURES;
    rig_new(&r, &options);
    int64_t begin = now_ms();
    int turns = 0;
    ok(vhushmem_frontend_start(r.frontend, &error));
    /* Before that it may be readable because the front-end has to send. A dispatch ends nothing then. */
    int fd = (int)ok(vhushmem_frontend_get_fd(r.frontend));
    while (r.events[VHUSHMEM_EVENT_DISCONNECT] == 0) {
        CHECK(wait_readable(fd, PATIENCE_MS));
        vhushmem_frontend_dispatch(r.frontend);
        CHECK(++turns < 10); /* it does not spin */
    }
    CHECK(now_ms() - begin >= 290);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    EQ(r.last.result, -ETIMEDOUT);
    rig_close(&r);
    return 0;
}
