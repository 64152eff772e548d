/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_COUNT_RIG_H
#define VHUSHMEM_TESTS_COUNT_RIG_H

/* For the tests of the count of the process's mappings, which the library reads in /proc. */

#include "memory-rig.h"

enum {
    MANY = 20000,          /* mappings of the program */
    MOST_READS = 12,       /* of one map; a read gets 4 KiB, which is at least 40 mappings */
    FIRST_COUNT = 1 << 13, /* changes before a region's first count */
    SECOND_COUNT = 1 << 16 /* changes between two counts that find nothing wrong */
};

/* How often this thread has read something. The kernel counts a read of this file afterwards. */
static inline uint64_t reads_now(void)
{
    static int io = -1;
    static pid_t owner;
    char text[500] = "";
    uint64_t reads = 0;
    if (owner != getpid()) {
        owner = getpid();
        io = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
    }
    if (io < 0 || pread(io, text, sizeof(text) - 1, 0) <= 0) {
        skip("the kernel does not count reads");
    }
    CHECK(sscanf(some(strstr(text, "syscr:")), "syscr: %" SCNu64, &reads) == 1);
    return reads;
}

/* A map and an unmap. Returns how often they read. */
static inline uint64_t change(vhushmem_region *region, int file)
{
    uint64_t before = reads_now();
    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    ok(vhushmem_region_unmap(region, PAGE, PAGE, &error));
    return reads_now() - before - 1;
}

/* Changes the region until a count has begun. */
static inline void begin_count(vhushmem_region *region, int file, int changes)
{
    for (int i = 0; i < changes / 2; i++) {
        if (change(region, file) > 0) {
            return;
        }
    }
    FAIL("%d changes began no count", changes);
}

/* Changes the region until the count has ended. Returns the reads. */
static inline uint64_t end_count(vhushmem_region *region, int file)
{
    uint64_t all = 0, reads;
    while ((reads = change(region, file)) > 0) {
        if (reads > MOST_READS) {
            FAIL("a map read %" PRIu64 " times", reads);
        }
        all += reads;
    }
    return all;
}

static inline bool is_counting(void)
{
    char *fds = fds_at_once();
    bool found = strstr(fds, "/maps") != NULL;
    g_free(fds);
    return found;
}

#endif
