/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages recorded between two programs of another implementation are served, byte for byte as in the recording. */
#include "rig.h"
#include "transcript.h"

/* Each line is one message on the channel and its answer. */
static const struct {
    const char *request, *answer;
    int fds;
} recorded[] = {
    {"09000000090000002800000005000000000000000010000000000000000020000000000000002000000000000100000000000000",
     "0900000005000000080000000000000000000000", 1},
    {"09000000090000002800000000000000000000000000000000000000003000000000000000100000000000000000000000000000",
     "0900000005000000080000000000000000000000", 1},
    {"0a000000090000002800000005000000000000000000000000000000000020000000000000002000000000000000000000000000",
     "0a00000005000000080000000000000000000000", 0},
    {"0a000000090000002800000000000000000000000000000000000000003000000000000000100000000000000000000000000000",
     "0a00000005000000080000000000000000000000", 0},
    {"09000000090000002800000009000000000000000000000000000000000000000000000000100000000000000100000000000000",
     "090000000500000008000000feffffffffffffff", 1},
};

int main(void)
{
    if (PAGE != 4096 || *(const uint8_t *)&(const uint32_t){1} != 1) {
        skip("the recording is of a little-endian host with pages of 4096 bytes");
    }
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.features = 0x170000000;
    r.peer.protocol_features = 0x40a629;
    peer_add_region(&r.peer, 0, 0x100000);
    peer_add_region(&r.peer, 5, 0x1000000);
    rig_connect(&r, NULL);
    int fd = memfd_of(0x201000, 1);
    for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
        uint8_t request[LINE_MAX_BYTES], wanted[LINE_MAX_BYTES], seen[64];
        size_t n = unhex(recorded[i].request, request), m = unhex(recorded[i].answer, wanted);
        send_bytes(r.channel, request, n, &fd, recorded[i].fds);
        pump(r.frontend);
        EQ(recv(r.channel, seen, sizeof(seen), MSG_DONTWAIT), m);
        for (size_t b = 0; b < m; b++) {
            if (seen[b] != wanted[b]) {
                FAIL("byte %zu of the answer to message %zu is 0x%02x, not 0x%02x", b, i, seen[b], wanted[b]);
            }
        }
        if (i == 0) {
            shows(vhushmem_device_find_region(r.device, 5), 0x200000, 0x200000, 1, 0x1000);
        }
    }
    close(fd);
    rig_close(&r);
    return 0;
}
