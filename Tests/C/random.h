/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_RANDOM_H
#define VHUSHMEM_TESTS_RANDOM_H

/*
 * For tests that take random steps: a seed that is printed and can be given again, and numbers
 * that follow from it alone.
 */

#include "harness.h"

#include <sys/random.h>

/* VHUSHMEM_TEST_SEED, or a different one each time. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("VHUSHMEM_TEST_SEED");
    uint64_t seed = 0;
    if (given != NULL) {
        seed = strtoull(given, NULL, 0);
    } else {
        CHECK(getrandom(&seed, 4, 0) == 4);
    }
    printf("note: VHUSHMEM_TEST_SEED=0x%" PRIx64 "\n", seed);
    fflush(stdout);
    return seed;
}

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

/* As many steps as `steps` says; ten times as many with --long. */
static inline int many_steps(int usual)
{
    return steps(getenv("VHUSHMEM_TEST_LONG") != NULL ? 10 * usual : usual);
}

#endif
