/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_MAPPINGS_H
#define VHUSHMEM_VIRTIOFS_MAPPINGS_H

/* What is mapped in the window, in the order of the offsets. No two mappings overlap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Linux's client maps chunks of 2 MiB: so many are a window of 32 GiB. Each costs the VMM a range
 * of its address space.
 */
#define MOST_MAPPINGS 16384u

struct mapping {
    uint64_t at, len;       /* in the window */
    uint64_t inode, offset; /* of which file's what */
    bool writable;
};

struct mappings {
    struct mapping *all;
    size_t count, room;
};

/** The index of the first mapping that ends beyond `at`; `count` if there is none. */
size_t mappings_find(const struct mappings *m, uint64_t at);

/** How many mappings, from index `first` on, begin below `end`. */
size_t mappings_below(const struct mappings *m, size_t first, uint64_t end);

/**
 * Adds one that overlaps none. Who asks for mappings sees to it that there are no more than
 * MOST_MAPPINGS.
 */
void mappings_add(struct mappings *m, struct mapping mapping);

/** Removes the one with exactly this range, if it is there. */
void mappings_remove(struct mappings *m, uint64_t at, uint64_t len);

void mappings_clear(struct mappings *m);

#endif
