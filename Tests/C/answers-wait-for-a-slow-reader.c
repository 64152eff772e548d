/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that asks and does not read its answers neither blocks the loop nor loses an answer: they come, whole and in
 * order, when it reads again. If it goes too far, its channel is closed instead.
 */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    uint8_t bytes[52] = {0};
    VhostUserHeader header = {UNMAP, 0x9, 40};
    memcpy(bytes, &header, 12);
    memcpy(bytes + 12, &m, 40);
    int small = 4096;
    setsockopt(r.channel, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));

    int sent = 0;
    for (int i = 0; i < 20000 && r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0; i++) {
        struct pollfd p = {.fd = r.channel, .events = POLLOUT};
        if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0) {
            EQ(try_send_bytes(r.channel, bytes, sizeof(bytes), NULL, 0), sizeof(bytes));
            sent++;
        } else if (!has_work((int)ok(vhushmem_frontend_get_fd(r.frontend)))) {
            break; /* both directions are full, and the front-end waits for neither */
        }
        alarm(PATIENCE_MS / 1000); /* a dispatch that waits for this thread would wait for ever */
        if (has_work((int)ok(vhushmem_frontend_get_fd(r.frontend)))) {
            vhushmem_frontend_dispatch(r.frontend);
        }
    }
    if (r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0) {
        for (int i = 0; i < sent; i++) {
            message answer;
            pump(r.frontend);
            EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
            EQ(answer.header.request, UNMAP);
            EQ(u64_of(&answer), -ENOENT);
        }
        rig_still_works(&r);
    }
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    rig_close(&r);
    return 0;
}
