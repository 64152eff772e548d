/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel without a front-end also reports each broken mapping once, whether a thread or a guest found it. */
#include "channel-rig.h"
#include "guard-rig.h"

int main(void)
{
    channel_rig r;
    int first = memfd_of(2 * PAGE, 1), second = memfd_of(2 * PAGE, 2);
    channel_rig_open(&r, NULL);
    guard_begin();
    ok(vhushmem_region_map(r.region, first, 0, 0, 2 * PAGE, 0, &error));
    ok(vhushmem_region_map(r.region, second, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    CHECK(ftruncate(first, 0) == 0 && ftruncate(second, 0) == 0);
    CHECK(!wait_readable((int)ok(vhushmem_channel_get_fd(r.channel)), 0));

    EQ(word_at(r.region, 0), 0);
    pump_channel(r.channel);
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 1);
    EQ(r.last.shm_offset, 0);
    EQ(r.last.len, 2 * PAGE);
    ok(vhushmem_resolve_guest_fault(r.region, 5 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    pump_channel(r.channel);
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 2);
    EQ(r.last.shm_offset, 4 * PAGE);
    EQ(word_at(r.region, 4 * PAGE), 0);
    pump_channel(r.channel);
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 2);
    channel_rig_close(&r);
    close(first);
    close(second);
    return 0;
}
