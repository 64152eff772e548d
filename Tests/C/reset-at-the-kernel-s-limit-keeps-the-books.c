/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process is at vm.max_map_count when a region with very many mappings is reset. Nothing of it can be seen any more.
 * Afterwards the library's counts agree with the kernel's, at the limit and after the program has given something back.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
/* asan: no (its own memory needs mappings too) */
#include "memory-rig.h"

/* The library counts each window's mappings and the index of each region. Only the mappings lie inside the window. */
static void counts_are_right(vhushmem_device *device, vhushmem_region *const regions[2])
{
    long used = budget_figure(device, "used"), real = ranges_of_window(regions[0]) + ranges_of_window(regions[1]);
    /* The page index counts as one for each region, whether it exists or not. */
    if (used < real || used > real + 4) {
        FAIL("the library counts %ld mappings, the kernel %ld", used, real);
    }
}

static void facts(uint32_t holes)
{
    uint64_t limit = (uint64_t)max_map_count_or_skip();
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *regions[2];
    for (uint8_t i = 0; i < 2; i++) {
        regions[i] = some(vhushmem_region_new(device, i, 4 * limit * PAGE, &options, &error));
    }
    int file = memfd_of(PAGE, 1);
    uint64_t count = 0;
    while (vhushmem_region_map(regions[0], file, 0, (2 * count + 1) * PAGE, PAGE, 0, NULL) == 0) {
        CHECK(count++ < limit);
    }
    counts_are_right(device, regions);

    /* All that the kernel has left. */
    char *own = mmap(NULL, 2 * limit * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(own != MAP_FAILED);
    uint64_t mine = 0;
    while (mprotect(own + 2 * mine * PAGE, PAGE, PROT_READ) == 0) {
        CHECK(mine++ < limit);
    }
    void *last[64];
    int lasts = 0;
    while (lasts < 64 && (last[lasts] = mmap(NULL, PAGE, lasts % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1,
                                             0)) != MAP_FAILED) {
        lasts++;
    }
    EQ(vhushmem_region_unmap_all(regions[0]), count);
    EQ(vhushmem_device_mapping_count(device), 0);
    for (uint64_t i = 0; i < count; i += 1000) {
        CHECK(vhushmem_region_translate(regions[0], (2 * i + 1) * PAGE, 1, false) == NULL);
        uint64_t word = 0;
        EQ(vhushmem_region_read(regions[0], (2 * i + 1) * PAGE, &word, 8, NULL), -ENOENT);
    }
    counts_are_right(device, regions);

    CHECK(munmap(own, 2 * limit * PAGE) == 0);
    for (int i = 0; i < lasts; i++) {
        munmap(last[i], PAGE);
    }
    counts_are_right(device, regions);

    /* The other region may have all of them now, but no more: the program's own mmap works. */
    uint64_t others = 0;
    while (vhushmem_region_map(regions[1], file, 0, (2 * others + 1) * PAGE, PAGE, 0, NULL) == 0) {
        CHECK(others++ < limit);
    }
    CHECK(others + others / 50 >= count);
    counts_are_right(device, regions);
    CHECK(ranges_of_process() < (int)limit);
    own = own_mappings(100);
    CHECK(munmap(own, 200 * PAGE) == 0);
    EQ(vhushmem_device_unmap_all(device), others);
    EQ(ranges_of_window(regions[0]), 1);
    EQ(ranges_of_window(regions[1]), 1);
    counts_are_right(device, regions);
    close(file);
    vhushmem_device_unref(device);
}

int main(void)
{
    facts(VHUSHMEM_HOLES_FAULT);
    facts(VHUSHMEM_HOLES_ZERO);
    return 0;
}
