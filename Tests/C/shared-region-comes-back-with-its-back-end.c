/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region stays shared when its back-end is lost and comes back. Before its queues, the next back-end is told what is
 * mapped, and later what it maps itself. The mappings of the one before are gone with it, or kept and told again.
 */
#include "shared-region.h"

static int file;

static void comes_back(bool keeps)
{
    coming_rig c;
    rig *r = &c.r;
    coming_open(&c, false, keeps ? VHUSHMEM_FRONTEND_KEEP_MAPPINGS : 0);
    coming_ready(&c);
    ok(vhushmem_frontend_share_region(r->frontend, r->region, AT, 0, &error));
    ok(vhushmem_frontend_start_device(r->frontend, BIT(32), &c.queue, 1, &error));
    (void)device_rig_heard(r);
    EQ(wire_map(r, 0, file, 0, PAGE, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    shared_heard(r, "37");
    coming_leave(&c);
    EQ(shared_count(r), 0);
    coming_ready(&c);
    HEARD(r, keeps ? "1 15 16 17 36 21 3 1 13 14 44 2 39 40 37 8 10 9 13 14 12 18 39"
                   : "1 15 16 17 36 21 3 1 13 14 44 2 39 40 8 10 9 13 14 12 18 39");
    counts(r, keeps ? 1 : 0, 0);
    EQ(wire_map(r, 0, file, 0, 3 * PAGE, PAGE, 0), 0);
    shared_heard(r, "37");

    /* The back-end is lost with the message under way. */
    r->peer.mute = ADD_MEM_REG;
    EQ(wire_map(r, 0, file, 0, 4 * PAGE, PAGE, 0), 0);
    EQ(wire_map(r, 0, file, 0, 5 * PAGE, PAGE, 0), 0);
    EQ(wire_unmap(r, 0, 4 * PAGE, PAGE), 0);
    coming_leave(&c);
    EQ(shared_count(r), 0);
    coming_ready(&c);
    counts(r, keeps ? 3 : 0, 0);
    EQ(wire_map(r, 0, file, 0, 7 * PAGE, PAGE, 0), 0);
    (void)device_rig_heard(r);
    EQ(wire_unmap(r, 0, 7 * PAGE, PAGE), 0);
    shared_said(r);
    counts(r, keeps ? 3 : 0, 0);
    ok(vhushmem_frontend_unshare_region(r->frontend, r->region, &error));
    coming_leave(&c);
    coming_ready(&c);
    HEARD(r, "1 15 16 17 36 21 3 1 13 14 44 2 39 40 8 10 9 13 14 12 18 39");
    coming_leave(&c);
    coming_close(&c);
}

int main(void)
{
    file = memfd_of(16 * PAGE, 1);
    device_rig_region = &shared_keeps;
    comes_back(false);
    char *before = fds_now();
    comes_back(true);
    same_at(__FILE__, __LINE__, before, fds_now());
    close(file);
    return 0;
}
