/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that does not finish a message loses its channel after message_timeout_ms, and blocks no other session meanwhile.
 */
#include "rig.h"

static void times_out(size_t sent)
{
    uint64_t page = PAGE;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .message_timeout_ms = 300};
    rig r;
    rig_open(&r, 16 * page, &options);
    int fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    uint8_t bytes[52] = {0};
    VhostUserHeader header = {MAP, 0x9, 40};
    VhostUserMMap m = mmap_of(0, 0, page, page, 0);
    memcpy(bytes, &header, 12);
    memcpy(bytes + 12, &m, 40);
    int64_t begin = now_ms();
    send_bytes(r.channel, bytes, sent, &fd, 1);
    pump(r.frontend);
    if (r.events[VHUSHMEM_EVENT_CHANNEL_LOST] ==
        0) { /* otherwise the machine is slow: the limit has passed already, as is checked below */
        shows(r.region, 0, page, 1, 0);
    }
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] > 0);
    CHECK(now_ms() - begin >= 290);
    EQ(r.last.result, -ETIMEDOUT);
    CHECK(hung_up(r.channel, PATIENCE_MS));
    EQ(vhushmem_region_mapping_count(r.region), 0);
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    close(fd);
    rig_close(&r);
}

/* A turn takes 64 messages, and finds the half one in its buffer behind them. Nothing else comes. */
static void times_out_behind_a_turn(void)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .message_timeout_ms = 300};
    rig r;
    uint8_t bytes[64 * 52 + 20] = {0};
    VhostUserHeader header = {UNMAP, 0x1, 40};
    rig_open(&r, 16 * PAGE, &options);
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    for (size_t at = 0; at < sizeof(bytes); at += 52) {
        memcpy(bytes + at, &header, 12);
        memcpy(bytes + at + 12, &m, at < 64 * 52 ? 40 : 8);
    }
    send_bytes(r.channel, bytes, sizeof(bytes), NULL, 0);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] > 0);
    EQ(r.last.result, -ETIMEDOUT);
    rig_close(&r);
}

int main(void)
{
    times_out(1);
    times_out(11);
    times_out(12);
    times_out(51);
    times_out_behind_a_turn();
    return 0;
}
