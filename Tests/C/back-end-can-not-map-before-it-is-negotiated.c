/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's map returns ENOTCONN without a connection, a handshake, SHMEM or a channel, and EBADF with a closed fd. */
#include "backend-rig.h"

int main(void)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    vhushmem_backend *alone = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_map(alone, 0, fd, 0, 0, page, 0, &error), -ENOTCONN);
    refused(vhushmem_backend_unmap(alone, 0, 0, page, &error), -ENOTCONN);
    EQ(vhushmem_backend_dispatch(alone), -ENOTCONN);
    vhushmem_backend_free(alone);

    static const uint64_t missing[] = {BIT(VHOST_USER_PROTOCOL_F_SHMEM), BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)};
    for (size_t i = 0; i < 2; i++) {
        backend_rig r;
        backend_rig_new(&r, 16 * page, NULL);
        refused(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error), -ENOTCONN);
        backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES & ~missing[i]);
        CHECK(!vhushmem_backend_is_negotiated(r.backend));
        EQ(r.events[VHUSHMEM_BACKEND_NEGOTIATED], 0);
        refused(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error), -ENOTCONN);
        backend_rig_close(&r);
    }

    backend_rig r;
    backend_rig_open(&r, 16 * page, NULL);
    refused(vhushmem_backend_map(r.backend, 0, -1, 0, 0, page, 0, &error), -EBADF);
    refused(vhushmem_backend_map(r.backend, 0, 9999, 0, 0, page, 0, &error), -EBADF);
    CHECK(!wait_readable(r.channel, 0));
    CHECK(vhushmem_backend_is_negotiated(r.backend));
    backend_rig_close(&r);
    close(fd);
    return 0;
}
