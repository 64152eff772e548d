/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end may be freed inside its callback, at any event; destroy runs once, and nothing stays open. */
#include "backend-rig.h"

typedef struct witness {
    vhushmem_backend_event_type at;
    int freed, destroyed;
} witness;

static void free_it(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    witness *w = user_data;
    EQ(w->freed, 0);
    if (event->type == w->at) {
        vhushmem_backend_free(backend);
        w->freed++;
    }
}

static void destroy(void *user_data) { ((witness *)user_data)->destroyed++; }

static void send_all(int socket, int channel)
{
    uint64_t features = BACKEND_RIG_FEATURES | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE);
    try_send_message(socket, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    try_send_message(socket, SET_PROTOCOL_FEATURES, 0x1, &features, 8, NULL, 0);
    try_send_message(socket, SET_BACKEND_REQ_FD, 0x9, NULL, 0, &channel, 1);
    try_send_message(socket, GET_SHMEM_CONFIG, 0x1, NULL, 0, NULL, 0);
    try_send_message(socket, RESET_DEVICE, 0x9, NULL, 0, NULL, 0);
}

int main(void)
{
    char *fds = fds_now();
    for (int at = VHUSHMEM_BACKEND_CONNECTED; at <= VHUSHMEM_BACKEND_DISCONNECT; at++) {
        witness w = {.at = (vhushmem_backend_event_type)at};
        int pair[2], channel[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) == 0);
        vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
        ok(vhushmem_backend_set_callback(backend, free_it, &w, destroy));
        ok(vhushmem_backend_add_region(backend, 0, PAGE, &error));
        ok(vhushmem_backend_attach(backend, pair[1], &error));
        send_all(pair[0], channel[1]);
        if (at == VHUSHMEM_BACKEND_DISCONNECT) {
            shutdown(pair[0], SHUT_WR);
        }
        for (int i = 0; i < 100 && w.freed == 0; i++) {
            if (wait_readable((int)ok(vhushmem_backend_get_fd(backend)), 100)) {
                vhushmem_backend_dispatch(backend);
            }
        }
        EQ(w.freed, 1);
        EQ(w.destroyed, 1);
        close(pair[0]);
        close(channel[0]);
        close(channel[1]);
    }
    same(fds, fds_now());
    return 0;
}
