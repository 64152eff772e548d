/* SPDX-License-Identifier: BSD-3-Clause */
/* A request that arrives byte by byte is served when it is whole, with the descriptor that came with its first byte. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    char *fds = fds_now();
    uint8_t bytes[52] = {0};
    VhostUserHeader header = {MAP, 0x9, 40};
    VhostUserMMap m = mmap_of(0, 0, page, page, 0);
    memcpy(bytes, &header, 12);
    memcpy(bytes + 12, &m, 40);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        EQ(r.events[VHUSHMEM_EVENT_MAP], 0);
        send_bytes(r.channel, bytes + i, 1, &fd, i == 0 ? 1 : 0);
        if (i + 1 < sizeof(bytes)) {
            rig_no_answer(&r);
        }
    }
    ok(rig_answer(&r, MAP));
    shows(r.region, page, page, 1, 0);

    /* And two at once, with half of a third. */
    uint8_t more[3 * 52] = {0};
    VhostUserMMap unmap = mmap_of(0, 0, page, page, 0);
    VhostUserHeader unmap_header = {UNMAP, 0x9, 40};
    for (int i = 0; i < 2; i++) {
        memcpy(more + i * 52, &unmap_header, 12);
        memcpy(more + i * 52 + 12, &unmap, 40);
    }
    memcpy(more + 104, &unmap_header, 12);
    memcpy(more + 116, &unmap, 28);
    send_bytes(r.channel, more, 144, NULL, 0);
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_UNMAP], 2);
    message first, second;
    EQ(receive(r.channel, &first, 0), 1);
    EQ(receive(r.channel, &second, 0), 1);
    EQ(u64_of(&first), 0);
    EQ(u64_of(&second), -ENOENT);
    send_bytes(r.channel, (uint8_t *)&unmap + 28, 12, NULL, 0);
    err(rig_answer(&r, UNMAP), -ENOENT);
    same(fds, fds_now());
    close(fd);
    rig_close(&r);
    return 0;
}
