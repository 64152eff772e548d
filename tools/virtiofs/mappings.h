/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_MAPPINGS_H
#define VHUSHMEM_VIRTIOFS_MAPPINGS_H

/* The mappings in the window, in the order of their offsets. No two overlap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Linux's client maps chunks of 2 MiB, so these fill a window of 32 GiB. Each costs the VMM a
 * mapping of its process.
 */
#define MOST_MAPPINGS 16384u

struct mapping {
    uint64_t at, len;       /* in the window */
    uint64_t inode, offset; /* the file and the offset in it */
    bool writable;
};

struct mappings {
    struct mapping *all;
    size_t count, room;
};

/** The index of the first mapping that ends after `at`; `count` if there is none. */
size_t mappings_find(const struct mappings *m, uint64_t at);

/** The number of mappings, from index `first` on, that begin before `end`. */
size_t mappings_below(const struct mappings *m, size_t first, uint64_t end);

/**
 * Add a mapping that overlaps none. The caller makes sure that there are at most MOST_MAPPINGS.
 */
void mappings_add(struct mappings *m, struct mapping mapping);

/** Remove the mapping with exactly this range, if there is one. */
void mappings_remove(struct mappings *m, uint64_t at, uint64_t len);

void mappings_clear(struct mappings *m);

#endif
