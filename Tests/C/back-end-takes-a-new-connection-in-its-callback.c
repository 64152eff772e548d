/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback that hears of a connection's end may give the back-end its next connection, and the back-end serves it. */
#include "backend-rig.h"

static int next_socket;

static void event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    ((int *)user_data)[event->type]++;
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT && next_socket >= 0) {
        ok(vhushmem_backend_attach(backend, next_socket, &error));
        next_socket = -1;
    }
}

/* The answer comes though the loop waits on the descriptor only. */
static void answers(backend_rig *r)
{
    message m;
    send_message(r->main, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(r->backend)), PATIENCE_MS));
    pump_backend(r->backend);
    EQ(receive(r->main, &m, 0), 1);
    EQ(m.header.request, GET_FEATURES);
}

int main(void)
{
    int events[5] = {0};
    backend_rig r;
    char *fds = fds_now();
    backend_rig_new(&r, 16 * PAGE, NULL);
    ok(vhushmem_backend_set_callback(r.backend, event, events, NULL));
    answers(&r);
    for (int i = 1; i <= 20; i++) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        next_socket = pair[1];
        close(r.main);
        r.main = pair[0];
        pump_backend(r.backend);
        EQ(events[VHUSHMEM_BACKEND_DISCONNECT], i);
        answers(&r);
    }
    backend_rig_close(&r);
    same(fds, fds_now());
    return 0;
}
