/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If the back-end is lost over a change of guest memory, the next back-end is told the new memory, not the old. A mapping that
 * was to be shared with the lost back-end is not shared with the next.
 */
#include "reconnect-rig.h"

static void fails(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    int *failed = user_data;
    (void)frontend;
    CHECK(reply->message != NULL);
    *failed = reply->result;
}

static uint64_t told(rig *r, int n)
{
    uint64_t size;
    memcpy(&size, some(peer_heard(&r->peer, ADD_MEM_REG, n))->payload + 16, sizeof(size));
    return size;
}

int main(void)
{
    char *fds = fds_now();
    coming_rig c;
    rig *r = &c.r;
    int file = memfd_of(8 * PAGE, 1), failed = 0;
    vhushmem_guest_memory ram = memory_of(0x100000, PAGE, file, 0);
    coming_open(&c, false, 0);
    coming_ready(&c);
    ok(vhushmem_frontend_set_memory(r->frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r->frontend, 0, &c.queue, 1, &error));
    EQ(told(r, 0), PAGE);

    r->peer.mute = ADD_MEM_REG;
    ram.size = 3 * PAGE;
    ok(vhushmem_frontend_set_memory_async(r->frontend, &ram, 1, fails, &failed, NULL, &error));
    PUMP_UNTIL(r->frontend, peer_heard(&r->peer, ADD_MEM_REG, 1) != NULL);
    coming_leave(&c);
    EQ(failed, -ECONNRESET);
    coming_ready(&c);
    EQ(told(r, 0), 3 * PAGE);
    coming_leave(&c);
    coming_close(&c);
    close(file);
    same(fds, fds_now());
    return 0;
}
