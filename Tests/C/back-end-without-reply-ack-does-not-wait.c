/* SPDX-License-Identifier: BSD-3-Clause */
/* Where REPLY_ACK was not negotiated, a map is sent without need_reply and returns 0 at once. */
#include "backend-rig.h"

int main(void)
{
    uint64_t page = PAGE;
    backend_rig r;
    backend_rig_new(&r, 16 * page, NULL);
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    CHECK(vhushmem_backend_is_negotiated(r.backend));
    int fd = memfd_of(page, 1);
    message m;
    ok(vhushmem_backend_map(r.backend, 0, fd, 0, 0, page, 0, &error));
    ok(vhushmem_backend_unmap(r.backend, 0, 0, page, &error));
    EQ(receive(r.channel, &m, 0), 1);
    EQ(m.header.flags, 0x1);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    EQ(receive(r.channel, &m, 0), 1);
    EQ(m.header.request, UNMAP);
    EQ(m.header.flags, 0x1);
    close(fd);
    backend_rig_close(&r);
    return 0;
}
