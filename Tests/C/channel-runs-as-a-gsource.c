/* SPDX-License-Identifier: BSD-3-Clause */
/* A GSource drives a channel, and ends with it. */
#include "channel-rig.h"

int main(void)
{
    channel_rig r;
    message m;
    int fd = memfd_of(PAGE, 1);
    GMainContext *context = g_main_context_new();
    channel_rig_open(&r, NULL);
    GSource *source = some(vhushmem_channel_source_new(r.channel));
    g_source_attach(source, context);
    VhostUserMMap map = mmap_of(0, 0, PAGE, PAGE, 0);
    send_message(r.peer, MAP, 0x9, &map, sizeof(map), &fd, 1);
    while (!wait_readable(r.peer, 0)) {
        g_main_context_iteration(context, TRUE);
    }
    EQ(receive(r.peer, &m, PATIENCE_MS), 1);
    EQ(u64_of(&m), 0);
    close(r.peer);
    r.peer = -1;
    while (!g_source_is_destroyed(source)) {
        g_main_context_iteration(context, TRUE);
    }
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    g_source_unref(source);
    channel_rig_close(&r);
    g_main_context_unref(context);
    close(fd);
    return 0;
}
