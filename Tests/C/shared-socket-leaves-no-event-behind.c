/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection has ended, and another process still holds its socket. The descriptor to wait on stays quiet, whatever the
   peer sends. */
#include "rig.h"

#include "backend-rig.h"

static void front_end(void)
{
    rig r;
    int pair[2];
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = 100};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.mute = GET_SHMEM_CONFIG;
    r.wire = true;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int kept = dup(pair[0]), fd;
    peer_start(&r.peer, pair[1]);
    r.frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    r.device = some(vhushmem_frontend_device(r.frontend));
    fd = (int)ok(vhushmem_frontend_get_fd(r.frontend));
    err(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error), -ETIMEDOUT);
    uint64_t late = 0;
    send_message(r.peer.main, GET_SHMEM_CONFIG, 0x5, &late, sizeof(late), NULL, 0);
    CHECK(!wait_readable(fd, 50));
    close(kept);
    peer_hang_up(&r.peer);
    rig_close(&r);
}

static void back_end(void)
{
    backend_rig r;
    int pair[2];
    memset(&r, 0, sizeof(r));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int kept = dup(pair[1]);
    r.backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(r.backend, backend_rig_event, &r, NULL));
    ok(vhushmem_backend_attach(r.backend, pair[1], &error));
    int fd = (int)ok(vhushmem_backend_get_fd(r.backend));
    send_message(pair[0], GET_FEATURES, 0x2, NULL, 0, NULL, 0); /* a message of another version */
    pump_backend(r.backend);
    EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    send_message(pair[0], GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    CHECK(!wait_readable(fd, 50));
    vhushmem_backend_free(r.backend);
    close(kept);
    close(pair[0]);
}

int main(void)
{
    front_end();
    back_end();
    return 0;
}
