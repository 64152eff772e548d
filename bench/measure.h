/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BENCH_MEASURE_H
#define VHUSHMEM_BENCH_MEASURE_H

/*
 * Every program here uses this. A program prints a line for each sample: its name and its value.
 * scripts/bench computes medians. Include it first.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Ends the program if the condition is false: then there is nothing to measure. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,            \
                    strerror(errno));                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline uint64_t ns_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return ns_of(CLOCK_MONOTONIC); }

/* Moves the thread to the last processor that the process may use. Its children stay there too. */
static inline void pin_to_one_processor(void)
{
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    MUST(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    for (int i = CPU_SETSIZE - 1; i >= 0; i--) {
        if (CPU_ISSET(i, &allowed)) {
            CPU_SET(i, &one);
            break;
        }
    }
    MUST(sched_setaffinity(0, sizeof(one), &one) == 0);
}

/* A file of `size` bytes. None of them is in memory. */
static inline int file_of(uint64_t size)
{
    int fd = memfd_create("bench", MFD_CLOEXEC);
    MUST(fd >= 0);
    MUST(ftruncate(fd, (off_t)size) == 0);
    return fd;
}

/* The numbers are the same in each run. */
static inline uint64_t next_random(uint64_t *state, uint64_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % bound;
}

static inline int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static inline void sort_numbers(uint32_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
}

static inline uint32_t median_of(uint32_t *numbers, size_t count)
{
    sort_numbers(numbers, count);
    return numbers[count / 2];
}

static inline uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 0);
    MUST(*text != 0 && *end == 0);
    return number;
}

#endif
