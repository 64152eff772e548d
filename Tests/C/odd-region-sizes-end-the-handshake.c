/* SPDX-License-Identifier: BSD-3-Clause */
/* A region whose size is no multiple of the page, or that no address space can hold, ends the handshake. The message has the
   size. */
#include "rig.h"

int main(void)
{
    const uint64_t sizes[] = {1, PAGE - 1, PAGE + 1, 0x12345, UINT64_MAX, BIT(60), BIT(63), UINT64_MAX - PAGE + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        peer_add_region(&r.peer, 3, PAGE);
        peer_add_region(&r.peer, 9, sizes[i]);
        fails_to_connect(&r, NULL, -EPROTO, hex(sizes[i]), "9");
    }
    return 0;
}
