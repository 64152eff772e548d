/* SPDX-License-Identifier: BSD-3-Clause */
/* Between begin_reset and end_reset, requests are refused, and so are those that have arrived by then. Later ones are served
   again. */
#include "channel-rig.h"

int main(void)
{
    channel_rig r;
    message m;
    int fd = memfd_of(PAGE, 1);
    VhostUserMMap map = mmap_of(0, 0, PAGE, PAGE, 0);
    channel_rig_open(&r, NULL);
    EQ(channel_rig_map(&r, fd, 0, PAGE), 0);
    ok(vhushmem_channel_begin_reset(r.channel));
    EQ(vhushmem_region_mapping_count(r.region), 0);
    EQ(channel_rig_map(&r, fd, 0, PAGE), -ECANCELED);
    send_message(r.peer, MAP, 0x9, &map, sizeof(map), &fd, 1);
    ok(vhushmem_channel_end_reset(r.channel));
    pump_channel(r.channel);
    EQ(receive(r.peer, &m, PATIENCE_MS), 1);
    EQ((int64_t)u64_of(&m), -ECANCELED);
    EQ(channel_rig_map(&r, fd, 0, PAGE), 0);

    /* Each begin has its end. An extra end does nothing. */
    ok(vhushmem_channel_begin_reset(r.channel));
    ok(vhushmem_channel_begin_reset(r.channel));
    ok(vhushmem_channel_end_reset(r.channel));
    EQ(channel_rig_map(&r, fd, 0, PAGE), -ECANCELED);
    ok(vhushmem_channel_end_reset(r.channel));
    EQ(channel_rig_map(&r, fd, 0, PAGE), 0);
    ok(vhushmem_channel_end_reset(r.channel));
    EQ(vhushmem_region_mapping_count(r.region), 1);
    err(vhushmem_channel_begin_reset(NULL), -EFAULT);
    close(fd);
    channel_rig_close(&r);
    return 0;
}
