/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request that looks a shared object up gets its descriptor with the answer, with or without need_reply. A refusal has
 * none. No descriptor leaks.
 */
#include "channel-rig.h"

#define LOOKUP 8

static int result, wrong_fd, served;

static int look_up(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel;
    EQ(*request->reply_fd, -1);
    served++;
    *request->reply_fd = wrong_fd != 0 ? wrong_fd : fcntl(*(int *)user_data, F_DUPFD_CLOEXEC, 0);
    return result;
}

/* One answer, with its descriptor or without. */
static int64_t receive_answer(int socket, int fds)
{
    message m;
    uint64_t word = 0;
    EQ(receive(socket, &m, PATIENCE_MS), 1);
    EQ(m.header.request, LOOKUP);
    EQ(m.header.flags, 0x5);
    EQ(m.header.size, 8);
    EQ(m.fd_count, fds);
    if (fds == 1) {
        EQ(pread(m.fds[0], &word, 8, 8), 8);
        EQ(word, pattern(1, 8));
        close(m.fds[0]);
    }
    return (int64_t)u64_of(&m);
}

static int64_t look(channel_rig *r, uint32_t flags, int fds)
{
    static const uint8_t uuid[16] = {1, 2, 3};
    send_message(r->peer, LOOKUP, flags, uuid, sizeof(uuid), NULL, 0);
    pump_channel(r->channel);
    return receive_answer(r->peer, fds);
}

int main(void)
{
    channel_rig r;
    int fd = memfd_of(PAGE, 1);
    channel_rig_open(&r, NULL);
    ok(vhushmem_channel_get_fd(r.channel)); /* get_fd makes it */
    char *fds = fds_now();
    ok(vhushmem_channel_set_request_callback(r.channel, look_up, &fd, NULL));
    EQ(look(&r, 0x9, 1), 0);
    EQ(look(&r, 0x1, 1), 0);
    result = -ENOENT;
    EQ(look(&r, 0x9, 0), -ENOENT);
    EQ(look(&r, 0x1, 0), -ENOENT);
    result = 0;
    wrong_fd = 9999;
    EQ(look(&r, 0x9, 0), -EBADF);
    wrong_fd = 0;

    /* Unread answers wait with their descriptors. */
    int sent = 0;
    for (int before = -1; before != served;) {
        before = served;
        for (int i = 0; i < 64; i++, sent++) {
            VhostUserHeader header = {LOOKUP, 0x9, 0};
            if (send(r.peer, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(header)) {
                break;
            }
        }
        pump_channel(r.channel);
    }
    CHECK(served < sent);
    served = 0;
    for (int i = 0; i < sent; i++) {
        EQ(receive_answer(r.peer, 1), 0);
        pump_channel(r.channel);
    }
    CHECK(vhushmem_channel_is_open(r.channel));
    same(fds, fds_now());
    close(fd);
    channel_rig_close(&r);
    return 0;
}
