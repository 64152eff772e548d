/* SPDX-License-Identifier: BSD-3-Clause */
/* An answer to GET_SHMEM_CONFIG that is not exactly 2056 bytes long, shorter or longer, ends the handshake with EPROTO. */
#include "rig.h"

static uint32_t longer;

static bool answer_longer(peer *p, const message *m)
{
    uint8_t payload[4096] = {0};
    if (m->header.request != GET_SHMEM_CONFIG) {
        return false;
    }
    memcpy(payload, &p->config, sizeof(p->config));
    try_send_message(p->main, GET_SHMEM_CONFIG, 0x5, payload, longer, NULL, 0);
    return true;
}

static void fails(uint32_t size)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.config_size = size;
    if (size > sizeof(r.peer.config)) {
        longer = size;
        r.peer.answer = answer_longer;
    }
    fails_to_connect(&r, NULL, -EPROTO);
}

int main(void)
{
    static const uint32_t sizes[] = {0, 8, 16, 2048, 2055, 2057, 2064, 4096};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fails(sizes[i]);
    }
    return 0;
}
