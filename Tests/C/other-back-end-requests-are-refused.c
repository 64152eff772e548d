/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end request that nobody serves is refused with an error and reported, and its descriptors are closed. The channel
   lives. */
#include "rig.h"

int main(void)
{
    static const uint32_t requests[] = {0, 1, 3, 4, 5, 11, 44, 1000, UINT32_MAX};
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    int fd = memfd_of(PAGE, 1), fds[2] = {fd, fd};
    uint8_t payload[64] = {0};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        still before = rig_still(&r);
        for (int n = 0; n <= 2; n++) {
            CHECK(rig_request(&r, requests[i], payload, (uint32_t)n * 16, fds, n) < 0);
            g_clear_error(&error);
        }
        same_still_at(__FILE__, __LINE__, &r, before);
        send_message(r.channel, requests[i], 0x1, payload, 16, NULL, 0);
        rig_no_answer(&r);
        rig_still_works(&r);
    }
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 0);
    close(fd);
    rig_close(&r);
    return 0;
}
