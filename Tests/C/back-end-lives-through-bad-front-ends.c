/* SPDX-License-Identifier: BSD-3-Clause */
/* Input that is no message ends a back-end's connection with DISCONNECT and a reason. The process lives on and takes
   another. */
#include "backend-rig.h"

static void disconnects(uint32_t request, uint32_t flags, uint32_t size)
{
    backend_rig r;
    backend_rig_open(&r, 16 * PAGE, NULL);
    int fd = memfd_of(8, 0), pair[2];
    VhostUserHeader header = {request, flags, size};
    char bytes[12 + 64] = {0};
    memcpy(bytes, &header, 12);
    send_bytes(r.main, bytes, sizeof(bytes), &fd, 1);
    pump_backend(r.backend);
    EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    CHECK(!vhushmem_backend_is_negotiated(r.backend));
    CHECK(hung_up(r.main, PATIENCE_MS));
    CHECK(hung_up(r.channel, PATIENCE_MS));
    close(fd);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    ok(vhushmem_backend_attach(r.backend, pair[1], &error));
    close(r.main);
    close(r.channel);
    r.main = pair[0];
    r.need_reply = false;
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES);
    CHECK(vhushmem_backend_is_negotiated(r.backend));
    backend_rig_close(&r);
}

int main(void)
{
    char *fds = fds_now();
    disconnects(GET_FEATURES, 0x0, 0);
    disconnects(GET_FEATURES, 0x2, 0);
    disconnects(GET_FEATURES, 0x5, 0);
    disconnects(GET_FEATURES, 0x1, UINT32_MAX);
    disconnects(0, 0, 0);
    disconnects(UINT32_MAX, UINT32_MAX, UINT32_MAX);
    same(fds, fds_now());
    return 0;
}
