/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end runs in a loop of poll or epoll on one descriptor, from start to disconnect, and never waits by itself. */
#include "rig.h"

#include <sys/epoll.h>

int main(void)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_new(&r, NULL);
    EQ(vhushmem_frontend_dispatch(r.frontend), -ENOTCONN);
    int fd = (int)ok(vhushmem_frontend_get_fd(r.frontend));
    ok(vhushmem_frontend_start(r.frontend, &error));
    err(vhushmem_frontend_start(r.frontend, &error), -EBUSY);

    struct epoll_event wanted = {.events = (uint32_t)ok(vhushmem_frontend_get_events(r.frontend))}, seen;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(wanted.events == POLLIN && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) == 0);
    while (r.events[VHUSHMEM_EVENT_READY] == 0) {
        EQ(epoll_wait(epoll, &seen, 1, PATIENCE_MS), 1);
        ok(vhushmem_frontend_dispatch(r.frontend));
    }
    rig_connected(&r);
    rig_still_works(&r);
    EQ(vhushmem_frontend_get_fd(r.frontend), fd);

    /* Nothing to do: not readable, and a dispatch takes nothing. */
    EQ(epoll_wait(epoll, &seen, 1, 50), 0);
    EQ(vhushmem_frontend_dispatch(r.frontend), 0);

    /* Something to do: readable until it is done. */
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    for (int i = 0; i < 200; i++) {
        send_message(r.channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0);
    }
    int taken = 0;
    while (taken < 200) {
        EQ(epoll_wait(epoll, &seen, 1, PATIENCE_MS), 1);
        taken += (int)ok(vhushmem_frontend_dispatch(r.frontend));
    }
    EQ(taken, 200);
    EQ(epoll_wait(epoll, &seen, 1, 0), 0);

    peer_hang_up(&r.peer);
    while (r.events[VHUSHMEM_EVENT_DISCONNECT] == 0) {
        EQ(epoll_wait(epoll, &seen, 1, PATIENCE_MS), 1);
        vhushmem_frontend_dispatch(r.frontend);
    }
    EQ(vhushmem_frontend_get_fd(r.frontend), fd);
    close(epoll);
    rig_close(&r);
    return 0;
}
