/* SPDX-License-Identifier: BSD-3-Clause */
/* A hundred MAPs without need_reply and one with it get one answer, after all of them are mapped. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 256 * page, NULL);
    int fd = memfd_of(101 * page, 1);
    int before = fd_count();
    for (uint64_t i = 0; i <= 100; i++) {
        VhostUserMMap m = mmap_of(0, i * page, 2 * i * page, page, 0);
        send_message(r.channel, MAP, i == 100 ? 0x9 : 0x1, &m, sizeof(m), &fd, 1);
    }
    ok(rig_answer(&r, MAP));
    rig_no_answer(&r);
    EQ(vhushmem_region_mapping_count(r.region), 101);
    for (uint64_t i = 0; i <= 100; i++) {
        shows(r.region, 2 * i * page, page, 1, i * page);
    }
    EQ(fd_count(), before);

    /* A hundred that each want an answer get a hundred, in order. */
    for (uint64_t i = 0; i < 100; i++) {
        VhostUserMMap m = mmap_of(0, 0, 2 * i * page, i % 2 ? page : 2 * page, 0);
        send_message(r.channel, UNMAP, 0x9, &m, sizeof(m), NULL, 0);
    }
    pump(r.frontend);
    for (uint64_t i = 0; i < 100; i++) {
        message m;
        EQ(receive(r.channel, &m, 0), 1);
        EQ(u64_of(&m), i % 2 ? 0 : -EINVAL);
    }
    close(fd);
    rig_close(&r);
    return 0;
}
