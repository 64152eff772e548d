/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Input that is no message (another version, a reply where a request belongs, a size that no request has) closes the channel
 * and drops the mappings. The connection and the process live on.
 */
#include "rig.h"

static void closes_the_channel(uint32_t request, uint32_t flags, uint32_t size)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    char *fds = fds_now();
    VhostUserHeader header = {request, flags, size};
    uint8_t bytes[12 + 40] = {0};
    memcpy(bytes, &header, 12);
    send_bytes(r.channel, bytes, sizeof(bytes), &fd, 1);
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    CHECK(r.last.type == VHUSHMEM_EVENT_CHANNEL_LOST && r.last.result < 0 && r.said[0] != 0);
    CHECK(hung_up(r.channel, PATIENCE_MS));
    EQ(vhushmem_region_mapping_count(r.region), 0);
    CHECK(!readable(vhushmem_region_window(r.region)));
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    CHECK(vhushmem_frontend_is_ready(r.frontend));

    /* The front-end has closed its end of the channel, and the fd that came along. */
    char *after = fds_now();
    CHECK(strlen(after) < strlen(fds));
    g_free(fds);
    g_free(after);
    ok(vhushmem_region_map(r.region, fd, 0, 0, page, 0, &error));
    close(fd);
    rig_close(&r);
}

int main(void)
{
    closes_the_channel(MAP, 0x8, 40); /* version 0 */
    closes_the_channel(MAP, 0xa, 40); /* version 2 */
    closes_the_channel(MAP, 0xb, 40); /* version 3 */
    closes_the_channel(MAP, 0x5, 40); /* a reply */
    closes_the_channel(MAP, 0xd, 40);
    closes_the_channel(MAP, 0x9, 0x10000);
    closes_the_channel(MAP, 0x9, INT32_MAX);
    closes_the_channel(UNMAP, 0x9, UINT32_MAX);
    closes_the_channel(UINT32_MAX, UINT32_MAX, UINT32_MAX);
    return 0;
}
