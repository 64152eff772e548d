/* SPDX-License-Identifier: BSD-3-Clause */
/* An answer with another request id, another version, without the reply flag or of the wrong size ends the handshake with EPROTO. */
#include "rig.h"

static VhostUserHeader wrong;

static void answer_wrongly(peer *p, const message *m)
{
    if (m->header.request == GET_QUEUE_NUM) {
        uint8_t payload[64] = {1};
        uint8_t bytes[12 + 64];
        memcpy(bytes, &wrong, 12);
        memcpy(bytes + 12, payload, 64);
        try_send_bytes(p->main, bytes, 12 + (wrong.size < 64 ? wrong.size : 64), NULL, 0);
    }
}

int main(void)
{
    static const VhostUserHeader headers[] = {
        {GET_QUEUE_NUM + 1, 0x5, 8},      {GET_FEATURES, 0x5, 8},
        {GET_QUEUE_NUM, 0x1, 8},          {GET_QUEUE_NUM, 0x6, 8},
        {GET_QUEUE_NUM, 0x4, 8},          {GET_QUEUE_NUM, 0x5, 4},
        {GET_QUEUE_NUM, 0x5, 16},         {GET_QUEUE_NUM, 0x5, 0},
        {GET_QUEUE_NUM, 0x5, 9},          {0, 0, 0},
        {GET_QUEUE_NUM, 0x5, UINT32_MAX},
    };
    char *fds = fds_now();
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        r.peer.mute = GET_QUEUE_NUM;
        r.peer.before_answer = answer_wrongly;
        wrong = headers[i];
        peer_add_region(&r.peer, 0, 16 * PAGE);
        fails_to_connect(&r, NULL, -EPROTO);
    }
    same(fds, fds_now());
    return 0;
}
