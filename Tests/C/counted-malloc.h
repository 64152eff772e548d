/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that includes this has the calls of malloc and its family counted. */
#ifndef VHUSHMEM_TESTS_COUNTED_MALLOC_H
#define VHUSHMEM_TESTS_COUNTED_MALLOC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static uint64_t allocations;              /* of all threads */
static __thread uint64_t own_allocations; /* of the calling thread */

static void count_allocation(void)
{
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
    own_allocations++;
}

void *malloc(size_t size)
{
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    count_allocation();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_allocation();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size)
{
    count_allocation();
    *place = __libc_memalign(alignment, size);
    return *place != NULL ? 0 : ENOMEM;
}

#endif
