/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that asks and closes its channel before the answer loses the channel. The process gets no SIGPIPE. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    for (int i = 0; i < 3; i++) {
        rig r;
        rig_open(&r, 16 * page, NULL);
        int fd = memfd_of(page, 1);
        VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
        for (int n = 0; n <= i; n++) {
            send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
        }
        close(r.channel);
        r.peer.channel = -1;
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
        EQ(vhushmem_device_mapping_count(r.device), 0);
        CHECK(vhushmem_frontend_is_ready(r.frontend));
        close(fd);
        rig_close(&r);
    }
    return 0;
}
