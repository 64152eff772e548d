/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_ATOMICS_SHIM_H
#define VHU_ATOMICS_SHIM_H

/* Atomics on memory that Swift holds by pointer: the library's own, and a driver's virtqueues. */

#include "linux-shim.h"

static inline uint64_t vhu_load_relaxed(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void vhu_prefetch(const uint64_t *p) { __builtin_prefetch(p); }
static inline uint64_t vhu_load_acquire(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline void vhu_store_relaxed(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}
static inline void vhu_store_release(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}
static inline void vhu_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void vhu_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

/* ---- virtqueues: a driver may change this memory at any moment, so each word is read once ---- */

static inline uint16_t vhu_load16_relaxed(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}
static inline uint32_t vhu_load32_relaxed(const void *p)
{
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}
static inline uint16_t vhu_load16_acquire(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}
static inline void vhu_store16_relaxed(void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED);
}
static inline void vhu_store16_release(void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
}
static inline void vhu_store32_relaxed(void *p, uint32_t v)
{
    __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED);
}
static inline void vhu_or8(void *p, uint8_t bits)
{
    __atomic_fetch_or((uint8_t *)p, bits, __ATOMIC_SEQ_CST);
}
static inline void vhu_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

struct vhu_descriptor {
    uint64_t address;
    uint64_t rest; /* from the lowest bit: length (32 bits), flags (16), next (16) */
};
/* A chain that a back-end has taken. Its counter is greater than that of each earlier one. */
struct vhu_begun {
    uint64_t counter;
    uint16_t head;
};
static inline int vhu_compare_begun(const void *left, const void *right)
{
    uint64_t l = ((const struct vhu_begun *)left)->counter,
             r = ((const struct vhu_begun *)right)->counter;
    return l < r ? -1 : l > r;
}
static inline void vhu_sort_begun(struct vhu_begun *begun, size_t count)
{
    qsort(begun, count, sizeof(*begun), vhu_compare_begun);
}
/*
 * Copies a descriptor, so that the caller checks and uses the same bytes. `at` need not be aligned.
 */
__attribute__((always_inline)) static inline struct vhu_descriptor vhu_descriptor_at(const void *at)
{
    struct vhu_descriptor copy;
    memcpy(&copy, at, sizeof(copy));
    /* so that the compiler does not read the original again */
    __asm__ volatile("" : "+r"(copy.address), "+r"(copy.rest));
    return copy;
}

#endif
