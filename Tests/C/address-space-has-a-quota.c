/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device's regions may take a bounded part of the address space: 8 TiB, or as many bytes as its options say. The handshake
 * refuses a back-end that announces more, and no window is left.
 */
/* valgrind: no (it has no room for such windows) */
#include "rig.h"

#define TIB (UINT64_C(1) << 40)

static void by_the_back_end(uint64_t size, int regions, uint64_t quota, const char *words)
{
    rig r;
    vhushmem_device_options device = {.struct_size = sizeof(device), .max_address_space = quota};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .device = &device};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    for (int i = 0; i < regions; i++) {
        peer_add_region(&r.peer, (uint8_t)i, size);
    }
    if (words == NULL) {
        rig_connect(&r, &options);
        rig_close(&r);
    } else {
        fails_to_connect(&r, &options, -EPROTO, words);
    }
}

int main(void)
{
    by_the_back_end(TIB, 8, 0, NULL);
    by_the_back_end(TIB, 9, 0, "0x80000000000");
    by_the_back_end(9 * TIB, 1, 0, "0x80000000000");
    by_the_back_end(TIB, 9, 9 * TIB, NULL);
    char *quota = g_strdup_printf("0x%" PRIx64, 3 * PAGE);
    by_the_back_end(2 * PAGE, 2, 3 * PAGE, quota);
    g_free(quota);

    /* Regions that the program makes count too. A region that goes gives its part back. */
    vhushmem_device_options options = {.struct_size = sizeof(options), .max_address_space = 4 * PAGE};
    for (int i = 0; i < 3; i++) {
        vhushmem_device *device = some(vhushmem_device_new(&options, &error));
        some(vhushmem_region_new(device, 0, 3 * PAGE, NULL, &error));
        CHECK(vhushmem_region_new(device, 1, 2 * PAGE, NULL, &error) == NULL);
        EQ(error->code, ENOSPC);
        g_clear_error(&error);
        some(vhushmem_region_new(device, 1, PAGE, NULL, &error));
        vhushmem_device_unref(device);
    }
    /* All devices together may have half of the address space. */
    vhushmem_device_options large = {.struct_size = sizeof(large), .max_address_space = 1024 * TIB};
    vhushmem_device *device = some(vhushmem_device_new(&large, &error));
    CHECK(vhushmem_region_new(device, 0, 65 * TIB, NULL, &error) == NULL);
    EQ(error->code, ENOMEM);
    g_clear_error(&error);
    vhushmem_device_unref(device);
    return 0;
}
