/* SPDX-License-Identifier: BSD-3-Clause */
/* A request that is under way when the connection ends is told why it ended. A later request, or a change of memory, is told
   that there is no connection. */
#include "device-rig.h"

static int told[2], calls;

static void answered(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    CHECK(reply->message != NULL && calls < 2);
    told[calls++] = reply->result;
}

/* Two requests. The peer answers neither. */
static void ask(rig *r)
{
    calls = 0;
    ok(vhushmem_frontend_get_device_status_async(r->frontend, answered, NULL, NULL, &error));
    ok(vhushmem_frontend_get_config_async(r->frontend, 0, 4, answered, NULL, NULL, &error));
}

static bool silent(peer *p, const message *m)
{
    (void)p;
    return m->header.request == GET_STATUS || m->header.request == GET_CONFIG;
}

static void silent_open(rig *r)
{
    device_rig_open(r, 1, DEVICE_FEATURES | BIT(9));
    r->peer.answer = silent;
}

int main(void)
{
    rig r;
    int fd = memfd_of(PAGE, 1);
    vhushmem_guest_memory range = memory_of(0, PAGE, fd, 0);

    /* The back-end leaves. */
    silent_open(&r);
    ask(&r);
    peer_hang_up(&r.peer);
    while (calls < 2) {
        pump_once(r.frontend);
    }
    EQ(told[0], -ECONNRESET);
    EQ(told[1], -ECONNRESET);
    refused(vhushmem_frontend_get_device_status(r.frontend, &error), -ENOTCONN);
    refused(vhushmem_frontend_set_memory(r.frontend, &range, 1, &error), -ENOTCONN);
    refused(vhushmem_frontend_set_memory(r.frontend, NULL, 0, &error), -ENOTCONN);
    rig_close(&r);

    /* The front-end is freed: each request is told before that call returns. */
    silent_open(&r);
    ask(&r);
    vhushmem_frontend_free(r.frontend);
    EQ(calls, 2);
    EQ(told[0], -ECONNABORTED);
    EQ(told[1], -ECONNABORTED);
    r.frontend = NULL;
    rig_close(&r);
    close(fd);
    return 0;
}
