/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When the front-end is freed, the mappings of its device go, even those that the program made after the connection ended.
 * KEEP_MAPPINGS keeps both. A lost channel leaves later mappings of others alone.
 */
#include "channel-rig.h"

static void ended(uint32_t flags)
{
    rig r;
    int fd = memfd_of(PAGE, 1);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = flags};
    rig_open(&r, 4 * PAGE, &options);
    EQ(rig_map(&r, fd, 0, 0, PAGE, 0), 0);
    vhushmem_device *device = vhushmem_device_ref(r.device);
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    bool keeps = (flags & VHUSHMEM_FRONTEND_KEEP_MAPPINGS) != 0;
    EQ(vhushmem_device_mapping_count(device), keeps ? 1 : 0);
    ok(vhushmem_region_map(r.region, fd, 0, PAGE, PAGE, 0, &error));
    rig_close(&r);
    EQ(vhushmem_device_mapping_count(device), keeps ? 2 : 0);
    vhushmem_device_unref(device);
    close(fd);
}

int main(void)
{
    ended(0);
    ended(VHUSHMEM_FRONTEND_KEEP_MAPPINGS);

    int pair[2], fd = memfd_of(PAGE, 1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 4 * PAGE, NULL, &error));
    vhushmem_channel *channel = some(vhushmem_channel_new(pair[0], device, NULL, &error));
    ok(vhushmem_region_map(region, fd, 0, 0, PAGE, 0, &error));
    close(pair[1]);
    while (vhushmem_channel_dispatch(channel) >= 0) {}
    EQ(vhushmem_device_mapping_count(device), 0);
    ok(vhushmem_region_map(region, fd, 0, 0, PAGE, 0, &error));
    vhushmem_channel_free(channel);
    EQ(vhushmem_device_mapping_count(device), 1);
    vhushmem_device_unref(device);
    close(fd);
    return 0;
}
