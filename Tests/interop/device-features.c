/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that offers these protocol features and does nothing: device-features SOCKET FEATURES. It has a shared memory region. */
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
    struct device device = {.queues = 2, .region_size = UINT64_C(1) << 20, .serve = serve};
    if (argc < 3) {
        return 2;
    }
    device.protocol_features = strtoull(argv[2], NULL, 0);
    return device_run(&device, 2, argv);
}
