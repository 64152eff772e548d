/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests that the back-end sent before it answered RESET_DEVICE are refused with ECANCELED, so that none lands after the reset. */
#include "rig.h"

static int fd;

/* The back-end still maps while it is told to reset. */
static void map_late(peer *p, const message *m)
{
    if (m->header.request == RESET_DEVICE) {
        VhostUserMMap late = mmap_of(0, 0, 4 * PAGE, PAGE, 0);
        send_message(p->channel, MAP, 0x9, &late, sizeof(late), &fd, 1);
    }
}

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    fd = memfd_of(page, 1);
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.before_answer = map_late;
    peer_add_region(&r.peer, 0, 16 * page);
    rig_connect(&r, NULL);
    char *fds = fds_now();

    /* One waits in the socket when the reset begins, one comes while it is under way. */
    VhostUserMMap early = mmap_of(0, 0, 0, page, 0);
    send_message(r.channel, MAP, 0x9, &early, sizeof(early), &fd, 1);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    err(vhushmem_frontend_reset(r.frontend, &error), -EALREADY);
    /* The one that comes late may be served after the event. */
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1 && r.events[VHUSHMEM_EVENT_MAP] == 2);
    for (int i = 0; i < 2; i++) {
        message answer;
        EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
        EQ(answer.header.request, MAP);
        EQ(u64_of(&answer), -ECANCELED);
    }
    EQ(r.events[VHUSHMEM_EVENT_MAP], 2);
    EQ(vhushmem_device_mapping_count(r.device), 0);
    same(fds, fds_now());

    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    shows(r.region, 0, page, 1, 0);
    close(fd);
    rig_close(&r);
    return 0;
}
