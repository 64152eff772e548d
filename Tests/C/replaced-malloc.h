/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program defines on_allocation, and then includes this. on_allocation is then called before each
 * allocation by malloc and its family.
 */
#ifndef VHUSHMEM_TESTS_REPLACED_MALLOC_H
#define VHUSHMEM_TESTS_REPLACED_MALLOC_H

#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    on_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    on_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    on_allocation();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    on_allocation();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size)
{
    on_allocation();
    *place = __libc_memalign(alignment, size);
    return *place != NULL ? 0 : ENOMEM;
}

#endif
