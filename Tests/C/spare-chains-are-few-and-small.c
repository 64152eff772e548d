/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it replaces malloc itself) */
/* asan: no (it replaces malloc itself) */
/*
 * The library keeps chains that were given back, to use them again. It keeps at most 256, and none that takes much memory. So it
 * allocates memory when a device takes more.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
static unsigned long allocations;

static void on_allocation(void) { allocations++; }

#include "replaced-malloc.h"

#include "bare-queue.h"

#define ENTRIES 512
#define KEPT 256
#define LONG 200
#define DESCRIPTORS 0x8000

static bare_queue b;
static vhushmem_chain *chains[ENTRIES];

static void open_queue(void)
{
    bare_queue_init(&b);
    b.size = ENTRIES;
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    tell_ram(&b);
    EQ(tell_vring(&b, SET_VRING_NUM, 0, b.size), 0);
    EQ(tell_rings(&b, 0, 0, USER + DESCRIPTORS, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        set_descriptor(&b, DESCRIPTORS / 16 + i, BUFFERS, 16, WRITE, 0);
    }
}

static void close_queue(void)
{
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Returns how many allocations the library made to take so many chains. */
static unsigned long take(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        offer(&b, (uint16_t)i);
    }
    unsigned long before = allocations;
    EQ(ok(vhushmem_backend_pop_many(b.r.backend, 0, chains, ENTRIES, NULL)), count);
    return allocations - before;
}

static void give_back(unsigned count, bool in_a_burst)
{
    static const uint32_t written[ENTRIES];
    if (in_a_burst) {
        EQ(vhushmem_backend_push_many(b.r.backend, 0, chains, written, count, NULL), (int)count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        EQ(vhushmem_backend_push(b.r.backend, chains[i], 0, NULL), 0);
    }
}

static void few(bool in_a_burst)
{
    open_queue();
    unsigned long of_one = take(1);
    CHECK(of_one > 0);
    give_back(1, in_a_burst);
    take(KEPT + 10);
    give_back(KEPT + 10, in_a_burst);
    EQ(take(KEPT), 0);
    give_back(KEPT, in_a_burst);
    EQ(take(KEPT + 10), 10 * of_one);
    give_back(KEPT + 10, in_a_burst);
    close_queue();
}

static void small(bool in_a_burst)
{
    open_queue();
    unsigned long of_one = take(1);
    give_back(1, in_a_burst);
    EQ(take(1), 0);
    give_back(1, in_a_burst);
    for (unsigned i = 0; i + 1 < LONG; i++) {
        set_descriptor(&b, DESCRIPTORS / 16 + i, BUFFERS, 16, WRITE | NEXT, (uint16_t)(i + 1));
    }
    take(1);
    give_back(1, in_a_burst);
    set_descriptor(&b, DESCRIPTORS / 16, BUFFERS, 16, WRITE, 0);
    EQ(take(1), of_one);
    give_back(1, in_a_burst);
    close_queue();
}

int main(void)
{
    for (int in_a_burst = 0; in_a_burst < 2; in_a_burst++) {
        few(in_a_burst);
        small(in_a_burst);
    }
    return 0;
}
