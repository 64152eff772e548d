/* SPDX-License-Identifier: BSD-3-Clause */
/* A VMM with its own front-end hands over its end of the back-end channel. The library serves mappings, and tells the
   channel's end. */
#include "channel-rig.h"

int main(void)
{
    channel_rig r;
    char *fds = fds_now();
    int fd = memfd_of(2 * PAGE, 1);
    channel_rig_open(&r, NULL);
    CHECK(vhushmem_channel_is_open(r.channel));
    EQ(vhushmem_channel_get_events(r.channel), POLLIN);
    EQ(channel_rig_map(&r, fd, PAGE, 2 * PAGE), 0);
    shows(r.region, PAGE, 2 * PAGE, 1, 0);
    EQ(channel_rig_map(&r, fd, 0, 2 * PAGE), -EEXIST);
    VhostUserMMap m = mmap_of(0, 0, PAGE, 2 * PAGE, 0);
    EQ(channel_rig_ask(&r, UNMAP, &m, sizeof(m), NULL, 0), 0);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    EQ(r.events[VHUSHMEM_EVENT_MAP], 2);
    EQ(r.events[VHUSHMEM_EVENT_UNMAP], 1);

    EQ(channel_rig_map(&r, fd, PAGE, PAGE), 0);
    close(r.peer);
    r.peer = -1;
    pump_channel(r.channel);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    EQ(r.last.result, -ECONNRESET);
    CHECK(!vhushmem_channel_is_open(r.channel));
    EQ(vhushmem_channel_dispatch(r.channel), -ENOTCONN);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    channel_rig_close(&r);

    /* Mappings may be kept. */
    vhushmem_channel_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_CHANNEL_KEEP_MAPPINGS};
    channel_rig_open(&r, &options);
    EQ(channel_rig_map(&r, fd, PAGE, PAGE), 0);
    vhushmem_channel_free(r.channel);
    EQ(vhushmem_region_mapping_count(r.region), 1);
    r.channel = NULL;
    channel_rig_close(&r);

    options.flags = 2;
    CHECK(vhushmem_channel_new(0, NULL, NULL, &error) == NULL);
    err(errno_of_null(NULL), -EFAULT);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    CHECK(vhushmem_channel_new(fd, device, &options, &error) == NULL);
    err(errno_of_null(NULL), -EINVAL);
    CHECK(vhushmem_channel_new(fd, device, NULL, &error) == NULL);
    err(errno_of_null(NULL), -EINVAL);
    CHECK(vhushmem_channel_new(-1, device, NULL, &error) == NULL);
    err(errno_of_null(NULL), -EBADF);
    vhushmem_device_unref(device);
    close(fd);
    same(fds, fds_now());
    return 0;
}
