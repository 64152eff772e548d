/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_MANY_H
#define VHUSHMEM_TESTS_MANY_H

/* A region with more mappings than go in one turn of a loop, however fast the machine is. */

#include "rig.h"

#define MANY 20000
#define FEW_ENOUGH 256 /* this many go at once, however long it takes */

/* `file` has two pages, so that two neighbours are two mappings for the kernel, too. */
static inline void map_many(vhushmem_region *region, int file)
{
    for (uint64_t i = 0; i < MANY; i++) {
        ok(vhushmem_region_map(region, file, i % 2 * PAGE, i * PAGE, PAGE, 0, &error));
    }
}

static inline uint64_t left_in(vhushmem_region *r) { return vhushmem_region_mapping_count(r); }

/* A listing finds as many mappings as the count says, from the last one down. */
static inline void counts_are_right(vhushmem_region *region)
{
    uint64_t count = left_in(region);
    for (uint64_t i = 0; i < MANY; i += MANY / 50) {
        bool there = i >= MANY - count;
        EQ(vhushmem_region_translate(region, i * PAGE, PAGE, false) != NULL, there);
        EQ(readable((char *)vhushmem_region_window(region) + i * PAGE), there);
    }
}

/* Some are gone, and some are left for later turns. */
static inline void some_are_left(vhushmem_region *region)
{
    CHECK(left_in(region) > 0 && left_in(region) <= MANY - FEW_ENOUGH);
    counts_are_right(region);
}

#endif
