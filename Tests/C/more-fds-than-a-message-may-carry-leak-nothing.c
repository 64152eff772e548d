/* SPDX-License-Identifier: BSD-3-Clause */
/* A message with more than 8 descriptors is refused or ends the channel. None of them stays open. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1), fds[16];
    for (int i = 0; i < 16; i++) {
        fds[i] = fd;
    }
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    for (int n = 9; n <= 16 && r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0; n++) {
        int before = fd_count();
        send_message(r.channel, MAP, 0x9, &m, sizeof(m), fds, n);
        pump(r.frontend);
        CHECK(fd_count() <= before); /* fewer, if the channel was closed */
        EQ(vhushmem_region_mapping_count(r.region), 0);
        message answer;
        if (receive(r.channel, &answer, 0) == 1) {
            CHECK((int64_t)u64_of(&answer) < 0);
        } else {
            EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
        }
    }
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    close(fd);
    rig_close(&r);
    return 0;
}
