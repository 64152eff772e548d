/* SPDX-License-Identifier: BSD-3-Clause */
/* A VMM that speaks vhost-user itself can make its regions from the reply to GET_SHMEM_CONFIG. The library checks the reply
   as a front-end does. */
#include "rig.h"

static struct {
    uint32_t count, padding;
    uint64_t sizes[256];
} config;

int main(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region_options options = {.struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END};
    int file = memfd_of(PAGE, 1);
    config.count = 2;
    config.sizes[0] = 16 * PAGE;
    config.sizes[255] = 4 * PAGE;

    err(vhushmem_device_add_config(device, &config, sizeof(config) - 1, NULL, &error), -EPROTO);
    err(vhushmem_device_add_config(device, &config, 0, NULL, &error), -EPROTO);
    err(vhushmem_device_add_config(device, NULL, sizeof(config), NULL, &error), -EFAULT);
    err(vhushmem_device_add_config(NULL, &config, sizeof(config), NULL, &error), -EFAULT);
    config.count = 257;
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    config.count = 2;
    config.sizes[7] = PAGE + 1;
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    config.sizes[7] = UINT64_MAX / PAGE * PAGE; /* no room for one: none of the others stays either */
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    char *before = maps_now();
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    same(before, maps_now());
    EQ(vhushmem_device_region_ids(device, NULL, 0), 0);
    config.sizes[7] = 0;
    options.struct_size = 3;
    err(vhushmem_device_add_config(device, &config, sizeof(config), &options, &error), -EINVAL);
    options.struct_size = sizeof(options);

    EQ(vhushmem_device_add_config(device, &config, sizeof(config), &options, &error), 2);
    EQ(vhushmem_region_size(some(vhushmem_device_find_region(device, 0))), 16 * PAGE);
    EQ(vhushmem_region_size(some(vhushmem_device_find_region(device, 255))), 4 * PAGE);
    VhostUserMMap map = {.shmid = 255, .len = 2 * PAGE}; /* beyond the end: the options hold for all regions */
    EQ(vhushmem_handle_map(device, &map, file, &error), 0);

    /* A back-end that comes back must say the same; otherwise the device cannot be its own. */
    EQ(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), 2);
    config.sizes[1] = PAGE;
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    config.sizes[1] = 0;
    config.sizes[0] = 32 * PAGE;
    err(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), -EPROTO);
    EQ(vhushmem_device_mapping_count(device), 1);
    vhushmem_device_unref(device);

    /* No region is a configuration, too. */
    memset(&config, 0, sizeof(config));
    device = some(vhushmem_device_new(NULL, &error));
    EQ(vhushmem_device_add_config(device, &config, sizeof(config), NULL, &error), 0);
    vhushmem_device_unref(device);
    close(file);
    return 0;
}
