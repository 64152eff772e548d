/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_MEMORY_SHIM_H
#define VHU_MEMORY_SHIM_H

/* Mappings of memory. */

#include "linux-shim.h"

/* Older headers do not have these. */
static const int vhu_madv_populate_read = 22;
static const int vhu_madv_populate_write = 23;
static const int vhu_ehwpoison = EHWPOISON;
#ifdef MAP_FIXED_NOREPLACE
static const int vhu_map_fixed_noreplace = MAP_FIXED_NOREPLACE;
#else
static const int vhu_map_fixed_noreplace = 0x100000;
#endif

static inline void *vhu_mremap_over(void *from, size_t length, void *to)
{
    return mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

/* Maps the same pages once more. The old length of 0 leaves the old mapping in place. */
static inline void *vhu_mremap_duplicate(void *from, size_t length)
{
    return mremap(from, 0, length, MREMAP_MAYMOVE);
}

/*
 * Whether private memory has only zeros. Other threads may write to it meanwhile. The address and
 * the length are multiples of 8.
 */
__attribute__((no_sanitize("thread"))) static inline bool vhu_is_zero(const void *memory,
                                                                      size_t length)
{
    const volatile uint64_t *words = (const volatile uint64_t *)memory;
    for (size_t i = 0; i < length / sizeof(*words); i++) {
        if (words[i] != 0) {
            return false;
        }
    }
    return true;
}

static const int vhu_read_implies_exec = READ_IMPLIES_EXEC;
/* This number is no personality. The kernel then only returns the present one. */
static inline int vhu_personality(void) { return personality(0xffffffff); }
static inline int vhu_set_personality(int persona) { return personality((unsigned int)persona); }

/*
 * Gives advice for several ranges of the calling process. For newer kernels this number stands for
 * that process. Older kernels answer EBADF, EINVAL or ENOSYS.
 */
#define VHU_THIS_PROCESS (-10001)
static inline ssize_t vhu_advise_many(const struct iovec *ranges, size_t count, int advice)
{
    return syscall(SYS_process_madvise, VHU_THIS_PROCESS, ranges, count, advice, 0);
}

#endif
