/* SPDX-License-Identifier: BSD-3-Clause */
/* A window is aligned to the largest power of two that fits into its size, up to 1 GiB, and takes no memory. */
#include "harness.h"

int main(void)
{
    const uint64_t gib = UINT64_C(1) << 30;
    const uint64_t sizes[] = {PAGE, 3 * PAGE, 2 << 20, 5 << 20, 100 << 20, gib, 3 * gib, 64 * gib};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        vhushmem_region *region = vhushmem_region_new(device, (uint8_t)i, sizes[i], NULL, &error);
        if (region == NULL && sizes[i] > gib && (under_valgrind() || error->code == ENOMEM)) {
            g_clear_error(&error); /* a small address space */
            continue;
        }
        some(region);
        uint64_t alignment = 1;
        while (alignment * 2 <= sizes[i] && alignment < gib) {
            alignment *= 2;
        }
        uintptr_t window = (uintptr_t)vhushmem_region_window(region);
        EQ(window % alignment, 0);
        EQ(vhushmem_region_size(region), sizes[i]);

        /* All of it is reserved, as one range that nobody can touch. */
        char *maps = maps_between(window, window + sizes[i]), perms[8];
        uint64_t start, end;
        CHECK(sscanf(maps, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) == 3);
        CHECK(start <= window && end >= window + sizes[i] && strcmp(perms, "---p") == 0);
        g_free(maps);
    }
    if (!under_valgrind()) { /* valgrind has its own errno for that */
        refused(errno_of_null(vhushmem_region_new(device, 200, UINT64_C(1) << 60, NULL, &error)), -ENOMEM,
                hex(UINT64_C(1) << 60));
        refused(errno_of_null(vhushmem_region_new(device, 200, 0 - PAGE, NULL, &error)), -ENOMEM);
    }
    refused(errno_of_null(vhushmem_region_new(device, 200, 0, NULL, &error)), -EINVAL);
    refused(errno_of_null(vhushmem_region_new(device, 200, PAGE + 1, NULL, &error)), -EINVAL, hex(PAGE + 1));
    refused(errno_of_null(vhushmem_region_new(device, 0, PAGE, NULL, &error)), -EEXIST);
    vhushmem_device_unref(device);
    return 0;
}
