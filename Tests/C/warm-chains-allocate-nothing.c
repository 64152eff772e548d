/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it replaces malloc itself) */
/* asan: no (it replaces malloc itself) */
/* Once warm, taking chains and giving them back allocates no memory, one at a time, many at a time, and in bursts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
static unsigned long allocations;

static void on_allocation(void) { allocations++; }

#include "replaced-malloc.h"

#include "bare-queue.h"

#define CHAINS 16

static void set_up(bare_queue *b, unsigned descriptors)
{
    for (unsigned i = 0; i < 16; i++) {
        bool is_last = i % descriptors == descriptors - 1;
        set_descriptor(b, i, BUFFERS + 64 * i, 64, (uint16_t)(WRITE | (is_last ? 0 : NEXT)), (uint16_t)(i + 1));
    }
}

static void one_by_one(bare_queue *b, unsigned descriptors)
{
    offer(b, 0);
    vhushmem_chain *chain = some(vhushmem_backend_pop(b->r.backend, 0, NULL));
    EQ(vhushmem_chain_writable_size(chain), 64 * descriptors);
    EQ(vhushmem_backend_push(b->r.backend, chain, 1, NULL), 0);
    vhushmem_backend_notify(b->r.backend, 0, NULL);
}

static void many_held(bare_queue *b, unsigned descriptors)
{
    vhushmem_chain *chains[CHAINS];
    unsigned count = CHAINS / descriptors;
    for (unsigned i = 0; i < count; i++) {
        offer(b, (uint16_t)(i * descriptors));
        chains[i] = some(vhushmem_backend_pop(b->r.backend, 0, NULL));
    }
    for (unsigned i = count; i-- > 0;) {
        EQ(vhushmem_backend_push(b->r.backend, chains[i], 1, NULL), 0);
    }
}

static void in_bursts(bare_queue *b, unsigned descriptors)
{
    vhushmem_chain *chains[CHAINS];
    uint32_t written[CHAINS] = {0};
    unsigned count = CHAINS / descriptors;
    for (unsigned i = 0; i < count; i++) {
        offer(b, (uint16_t)(i * descriptors));
    }
    EQ(vhushmem_backend_pop_many(b->r.backend, 0, chains, CHAINS, NULL), (int)count);
    EQ(vhushmem_backend_push_many(b->r.backend, 0, chains, written, count, NULL), (int)count);
}

/* A chain that was freed without being given back leaks nothing, and neither does one that was put back. */
static void let_go_and_put_back(bare_queue *b)
{
    offer(b, 0);
    vhushmem_chain *chain = some(vhushmem_backend_pop(b->r.backend, 0, NULL));
    EQ(vhushmem_backend_put_back(b->r.backend, chain, NULL), 0);
    chain = some(vhushmem_backend_pop(b->r.backend, 0, NULL));
    EQ(vhushmem_backend_push(b->r.backend, chain, 1, NULL), 0);
}

int main(void)
{
    static const unsigned descriptors[] = {1, 4, 16};
    void (*const ways[])(bare_queue *, unsigned) = {one_by_one, many_held, in_bursts};
    for (size_t i = 0; i < G_N_ELEMENTS(descriptors); i++) {
        for (size_t way = 0; way < G_N_ELEMENTS(ways); way++) {
            bare_queue b;
            bare_queue_open(&b, BIT(29));
            set_up(&b, descriptors[i]);
            for (int warm = 0; warm < 3; warm++) {
                ways[way](&b, descriptors[i]);
            }
            let_go_and_put_back(&b);
            unsigned long before = allocations;
            CHECK(before > 0);
            for (int round = 0; round < 1000; round++) {
                ways[way](&b, descriptors[i]);
            }
            let_go_and_put_back(&b);
            EQ(allocations - before, 0);
            backend_rig_close(&b.r);
            bare_queue_close(&b);
        }
    }
    return 0;
}
