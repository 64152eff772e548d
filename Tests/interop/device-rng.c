/* SPDX-License-Identifier: BSD-3-Clause */
/* A source of known numbers: device-rng SOCKET. It fills each request with the same text, so that a test can check the
   guest's bytes. */
#include "device.h"

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *chain)
{
    static const char text[] = "VHUSHMEM";
    uint64_t room = vhushmem_chain_writable_size(chain);

    (void)device;
    (void)queue;
    room = room < 4096 ? room : 4096;
    for (uint64_t at = 0; at < room; at += 8) {
        vhushmem_chain_write(chain, at, text, room - at < 8 ? room - at : 8);
    }
    return (int64_t)room;
}

int main(int argc, char **argv)
{
    struct device device = {.queues = 1, .serve = serve};
    return argc < 2 ? 2 : device_run(&device, argc, argv);
}
