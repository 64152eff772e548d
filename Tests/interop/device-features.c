/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that offers these protocol features, has shared memory regions of these sizes, with the ids 0, 1 and so on, and does nothing:
 * device-features SOCKET FEATURES [SIZE...].
 */
#include "device.h"

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *chain)
{
    (void)device;
    (void)queue;
    (void)chain;
    return 0;
}

int main(int argc, char **argv)
{
    struct device device = {.queues = 2, .serve = serve};
    if (argc < 3) {
        return 2;
    }
    device.protocol_features = strtoull(argv[2], NULL, 0);
    for (int i = 3; i < argc && i - 3 < DEVICE_REGIONS; i++) {
        device.region_sizes[i - 3] = strtoull(argv[i], NULL, 0);
    }
    return device_run(&device, 2, argv);
}
