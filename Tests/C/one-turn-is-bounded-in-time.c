/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If a peer's requests take long, a dispatch ends before it has taken all messages, because others on the loop wait. Here
 * callbacks take long; the kernel's work for a request may take long too. On the channel, on a front-end's main socket, and
 * in a back-end.
 */
#include "bare-queue.h"
#include "channel-rig.h"

enum { MESSAGES = 40, PAUSE_US = 4000, BOUND = 10 };

static int answered;

static int slow_request(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel;
    (void)request;
    (void)user_data;
    usleep(PAUSE_US);
    answered++;
    return 0;
}

static void on_the_channel(void)
{
    channel_rig r;
    answered = 0;
    channel_rig_open(&r, NULL);
    ok(vhushmem_channel_set_request_callback(r.channel, slow_request, NULL, NULL));
    for (int i = 0; i < MESSAGES; i++) {
        send_message(r.peer, 100, 0x1, NULL, 0, NULL, 0);
    }
    CHECK(ok(vhushmem_channel_dispatch(r.channel)) < BOUND);
    CHECK(answered > 0 && answered < BOUND);
    STEP_UNTIL(answered == MESSAGES, pump_channel(r.channel)); /* the rest makes the descriptor readable */
    channel_rig_close(&r);
}

static int slow_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    (void)backend;
    (void)status;
    (void)user_data;
    usleep(PAUSE_US);
    answered++;
    return 0;
}

static void in_a_back_end(void)
{
    backend_rig r;
    uint64_t status = 1;
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .set_status = slow_status};
    int pair[2];
    answered = 0;
    memset(&r, 0, sizeof(r));
    r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r.main = pair[0];
    r.backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(r.backend, backend_rig_event, &r, NULL));
    ok(vhushmem_backend_set_handlers(r.backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_attach(r.backend, pair[1], &error));
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES | BIT(16));
    for (int i = 0; i < MESSAGES; i++) {
        send_message(r.main, SET_STATUS, 0x1, &status, sizeof(status), NULL, 0);
    }
    CHECK(ok(vhushmem_backend_dispatch(r.backend)) < BOUND);
    CHECK(answered > 0 && answered < BOUND);
    STEP_UNTIL(answered == MESSAGES, pump_backend(r.backend));
    backend_rig_close(&r);
}

static bool swallow(peer *p, const message *m)
{
    (void)p;
    return m->header.request == GET_STATUS;
}

static void ask_again(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)user_data;
    if (reply->result < 0) {
        return; /* end of file */
    }
    usleep(PAUSE_US);
    answered++;
    ok(vhushmem_frontend_get_device_status_async(frontend, ask_again, NULL, NULL, &error));
}

/* Each reply arrives before its request is made. */
static void on_the_main_socket(void)
{
    rig r;
    uint64_t status = 1;
    answered = 0;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features |= BIT(16);
    r.peer.answer = swallow;
    rig_connect(&r, NULL);
    ok(vhushmem_frontend_get_device_status_async(r.frontend, ask_again, NULL, NULL, &error));
    for (int i = 0; i < MESSAGES; i++) {
        send_message(r.peer.main, GET_STATUS, 0x5, &status, sizeof(status), NULL, 0);
    }
    CHECK(ok(vhushmem_frontend_dispatch(r.frontend)) < BOUND);
    CHECK(answered > 0 && answered < BOUND);
    PUMP_UNTIL(r.frontend, answered == MESSAGES);
    rig_close(&r);
}

int main(void)
{
    on_the_channel();
    in_a_back_end();
    on_the_main_socket();
    return 0;
}
