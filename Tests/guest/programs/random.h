/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GUEST_RANDOM_H
#define VHUSHMEM_GUEST_RANDOM_H

/* The same numbers for a seed on every machine: xorshift. */

#include <stdint.h>

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/** A number below `limit`, which is not 0. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return (next_random(state) >> 11) % limit;
}

static inline uint64_t seeded(uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (int i = 0; i < 8; i++) {
        next_random(&state);
    }
    return state;
}

/** FNV-1a, to compare data that is too long to print. */
static inline uint64_t hash_of(uint64_t hash, const void *bytes, uint64_t size)
{
    const unsigned char *at = bytes;

    for (uint64_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#define HASH_OF_NOTHING UINT64_C(0xcbf29ce484222325)

#endif
