/* SPDX-License-Identifier: BSD-3-Clause */
/* A callback gets every request that is not about mappings, with its payload and descriptors. Its result is the answer, if
   one is owed. */
#include "channel-rig.h"

static int calls, answer, destroyed;
static uint64_t word;

static int take(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    channel_rig *r = user_data;
    CHECK(channel == r->channel);
    calls++;
    EQ(request->request, 3);
    EQ(request->size, 5);
    CHECK(memcmp(request->payload, "hello", 5) == 0);
    EQ(request->nfds, 2);
    EQ(pread(request->fds[1], &word, 8, 8), 8);
    /* A nested dispatch serves nothing: this request is still under way. */
    EQ(vhushmem_channel_dispatch(channel), 0);
    return answer;
}

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

int main(void)
{
    channel_rig r;
    channel_rig_open(&r, NULL);
    ok(vhushmem_channel_get_fd(r.channel)); /* get_fd makes it */
    char *fds = fds_now();
    int two[2] = {memfd_of(PAGE, 1), memfd_of(PAGE, 2)};

    EQ(channel_rig_ask(&r, 3, "hello", 5, two, 2), -EOPNOTSUPP);
    ok(vhushmem_channel_set_request_callback(r.channel, take, &r, destroy));
    EQ(channel_rig_ask(&r, 3, "hello", 5, two, 2), 0);
    EQ(calls, 1);
    EQ(word, pattern(2, 8));
    EQ(r.last.result, 0);
    answer = -EBUSY;
    EQ(channel_rig_ask(&r, 3, "hello", 5, two, 2), -EBUSY);
    EQ(r.events[VHUSHMEM_EVENT_OTHER_REQUEST], 3);
    EQ(r.last.result, -EBUSY);
    answer = 5; /* no errno: it becomes some failure */
    EQ(channel_rig_ask(&r, 3, "hello", 5, two, 2), -EIO);

    /* Without need_reply there is no answer. */
    send_message(r.peer, 3, 0x1, "hello", 5, two, 2);
    pump_channel(r.channel);
    CHECK(!wait_readable(r.peer, 0));
    EQ(calls, 4);

    ok(vhushmem_channel_set_request_callback(r.channel, NULL, NULL, NULL));
    EQ(destroyed, 1);
    EQ(channel_rig_ask(&r, 3, "hello", 5, two, 2), -EOPNOTSUPP);
    close(two[0]);
    close(two[1]);
    same(fds, fds_now());
    channel_rig_close(&r);
    return 0;
}
