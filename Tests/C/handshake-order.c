/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front-end speaks in the order that back-ends expect, message by message. After REPLY_ACK was negotiated, each request
 * without a reply of its own has need_reply.
 */
#include "rig.h"

typedef struct line {
    uint32_t request;
    uint32_t size;
    int fds;
    bool has_reply;
} line;

static void hears(peer *p, const line *lines, int count)
{
    EQ(p->heard_count, count);
    bool reply_ack = false;
    for (int i = 0; i < count; i++) {
        const message *m = &p->heard[i];
        if (m->header.request != lines[i].request) {
            FAIL("message %d is request %u, not %u", i, m->header.request, lines[i].request);
        }
        EQ(m->header.size, lines[i].size);
        EQ(m->fd_count, lines[i].fds);
        if (lines[i].has_reply && reply_ack) {
            CHECK(m->header.flags == 0x1 || m->header.flags == 0x9);
        } else {
            EQ(m->header.flags, reply_ack ? 0x9 : 0x1);
        }
        if (m->header.request == SET_PROTOCOL_FEATURES) {
            reply_ack = (u64_of(m) & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)) != 0;
        }
    }
}

int main(void)
{
    static const line lines[] = {
        {GET_FEATURES, 0, 0, true},     {GET_PROTOCOL_FEATURES, 0, 0, true}, {SET_PROTOCOL_FEATURES, 8, 0, false},
        {GET_QUEUE_NUM, 0, 0, true},    {GET_MAX_MEM_SLOTS, 0, 0, true},     {SET_BACKEND_REQ_FD, 0, 1, false},
        {SET_OWNER, 0, 0, false},       {GET_FEATURES, 0, 0, true},          {SET_VRING_CALL, 8, 1, false},
        {SET_VRING_ERR, 8, 1, false},   {SET_VRING_CALL, 8, 1, false},       {SET_VRING_ERR, 8, 1, false},
        {GET_SHMEM_CONFIG, 0, 0, true},
    };
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = 2};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features |= BIT(40) | BIT(63) | BIT(1);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    EQ(vhushmem_frontend_features((rig_new(&r, &options), r.frontend)), 0);
    EQ(vhushmem_frontend_call_fd(r.frontend, 0), -ENOTCONN);
    ok(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error));
    hears(&r.peer, lines, sizeof(lines) / sizeof(lines[0]));
    for (int queue = 0; queue < 2; queue++) {
        EQ(u64_of(peer_heard(&r.peer, SET_VRING_CALL, queue)), queue);
        EQ(u64_of(peer_heard(&r.peer, SET_VRING_ERR, queue)), queue);
        CHECK(vhushmem_frontend_call_fd(r.frontend, (unsigned)queue) >= 0);
    }
    EQ(vhushmem_frontend_call_fd(r.frontend, 2), -EINVAL);
    EQ(vhushmem_frontend_max_queues(r.frontend), 2);
    EQ(vhushmem_frontend_features(r.frontend), r.peer.features);

    /* It accepts only offered features, and no unknown ones. */
    uint64_t wanted = BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
                      BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) |
                      BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | BIT(VHOST_USER_PROTOCOL_F_SHMEM);
    EQ(r.peer.accepted & ~r.peer.protocol_features, 0);
    EQ(r.peer.accepted & (BIT(40) | BIT(63)), 0);
    EQ(r.peer.accepted & wanted, wanted);
    EQ(vhushmem_frontend_protocol_features(r.frontend), r.peer.accepted);
    rig_close(&r);
    return 0;
}
