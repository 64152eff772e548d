/* SPDX-License-Identifier: BSD-3-Clause */
/* Back-ends of the series' first versions (SHMEM as bit 20) ask for reading with bit 0 and for writing with bit 1. */
#include "channel-rig.h"

static rig r;

static int64_t map_with(uint64_t page, uint64_t flags)
{
    message answer;
    VhostUserMMap m = mmap_of(0, 0, page * PAGE, PAGE, flags);
    int fd = memfd_of(PAGE, 1);
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    close(fd);
    pump(r.frontend);
    EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
    return (int64_t)u64_of(&answer);
}

static bool can_write(uint64_t page) { return vhushmem_region_translate(r.region, page * PAGE, 1, true) != NULL; }

int main(void)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shmem_bit = 20};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features = (PROTOCOL_DEFAULTS & ~BIT(22)) | BIT(20);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_connect(&r, &options);
    EQ(map_with(0, 1), 0);
    EQ(map_with(1, 3), 0);
    EQ(map_with(2, 2), 0);
    EQ(map_with(3, 0), 0);
    EQ(map_with(4, 4), -EINVAL);
    CHECK(!can_write(0) && can_write(1) && can_write(2) && !can_write(3));
    rig_close(&r);

    /* Versions 5 to 11 have that bit and today's flags. */
    options.flags = VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features = (PROTOCOL_DEFAULTS & ~BIT(22)) | BIT(20);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_connect(&r, &options);
    EQ(map_with(0, 1), 0);
    EQ(map_with(1, 0), 0);
    EQ(map_with(2, 2), -EINVAL);
    CHECK(can_write(0) && !can_write(1));
    rig_close(&r);

    /* Today's back-ends say the same as before. */
    rig_open(&r, 16 * PAGE, NULL);
    EQ(map_with(0, 1), 0);
    EQ(map_with(1, 0), 0);
    EQ(map_with(2, 2), -EINVAL);
    EQ(map_with(3, 3), -EINVAL);
    CHECK(can_write(0) && !can_write(1));
    rig_close(&r);

    /* A channel alone has no feature bit that tells the version. */
    vhushmem_channel_options alone = {.struct_size = sizeof(alone), .flags = VHUSHMEM_CHANNEL_FIRST_MAP_FLAGS};
    channel_rig c;
    int fd = memfd_of(PAGE, 1);
    channel_rig_open(&c, &alone);
    for (uint64_t flags = 0; flags < 5; flags++) {
        VhostUserMMap m = mmap_of(0, 0, flags * PAGE, PAGE, flags);
        EQ(channel_rig_ask(&c, MAP, &m, sizeof(m), &fd, 1), flags < 4 ? 0 : -EINVAL);
        EQ(vhushmem_region_translate(c.region, flags * PAGE, 1, true) != NULL, flags == 2 || flags == 3);
    }
    channel_rig_close(&c);
    close(fd);
    return 0;
}
