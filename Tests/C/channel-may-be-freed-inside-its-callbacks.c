/* SPDX-License-Identifier: BSD-3-Clause */
/* Both callbacks of a channel may free it. Requests that wait behind are not served. */
#include "channel-rig.h"

static int calls, destroyed;

static int free_it(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)request;
    (void)user_data;
    calls++;
    vhushmem_channel_free(channel);
    return 0;
}

static void free_in_event(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    (void)event;
    (void)user_data;
    calls++;
    vhushmem_channel_free(channel);
}

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

int main(void)
{
    channel_rig r;
    for (int round = 0; round < 3; round++) {
        channel_rig_open(&r, NULL);
        int fd = memfd_of(PAGE, 1);
        VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
        if (round == 0) {
            ok(vhushmem_channel_set_request_callback(r.channel, free_it, NULL, destroy));
            send_message(r.peer, 2, 0x9, NULL, 0, NULL, 0);
        } else {
            ok(vhushmem_channel_set_callback(r.channel, free_in_event, NULL, destroy));
            if (round == 1) {
                send_message(r.peer, MAP, 0x9, &m, sizeof(m), &fd, 1);
            } else {
                send_message(r.peer, 2, 0x2, NULL, 0, NULL, 0); /* a version that does not exist: CHANNEL_LOST */
            }
        }
        send_message(r.peer, MAP, 0x9, &m, sizeof(m), &fd, 1);
        vhushmem_channel_dispatch(r.channel);
        r.channel = NULL;
        EQ(calls, round + 1);
        EQ(destroyed, round + 1);
        EQ(vhushmem_region_mapping_count(r.region), 0);
        CHECK(hung_up(r.peer, PATIENCE_MS));
        close(fd);
        channel_rig_close(&r);
    }
    return 0;
}
