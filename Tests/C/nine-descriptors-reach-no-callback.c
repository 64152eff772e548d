/* SPDX-License-Identifier: BSD-3-Clause */
/* A request with eight descriptors is handed to the VMM. A request with nine or more is refused with EINVAL and leaks none. */
#include "channel-rig.h"

static int calls;

static int count_descriptors(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel;
    (void)user_data;
    calls++;
    EQ(request->nfds, 8);
    return 0;
}

int main(void)
{
    channel_rig r;
    uint64_t payload = 0;
    int fds[16];
    channel_rig_open(&r, NULL);
    ok(vhushmem_channel_set_request_callback(r.channel, count_descriptors, &r, NULL));
    ok(vhushmem_channel_get_fd(r.channel));
    fds[0] = memfd_of(PAGE, 1);
    for (int i = 1; i < 16; i++) {
        fds[i] = fds[0];
    }
    char *before = fds_now();
    for (int count = 8; count <= 16; count++) {
        EQ(channel_rig_ask(&r, VHOST_USER_BACKEND_SHMEM_UNMAP + 1, &payload, sizeof(payload), fds, count),
           count == 8 ? 0 : -EINVAL);
        EQ(calls, 1);
        CHECK(vhushmem_channel_is_open(r.channel));
    }
    same(before, fds_now());
    close(fds[0]);
    channel_rig_close(&r);
    return 0;
}
