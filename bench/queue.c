/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: queue WAY ROUNDS, under callgrind with --collect-atstart=no. A device takes a chain and gives it back ROUNDS times,
 * once warm. callgrind counts the instructions of vhushmem_backend_pop and vhushmem_backend_push. It prints the number of
 * allocations for a pair.
 *
 * WAY is DESCRIPTORS[-log][-RANGES]: the number of descriptors of a chain, whether the front-end logs written pages, and the
 * number of ranges of guest memory. The last range has the buffers. Or WAY is `burst`: one call of vhushmem_backend_pop_many
 * and one of _push_many take and give back 32 chains of one descriptor (ROUNDS bursts).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>

static uint64_t allocations;

static void on_allocation(void) { allocations++; }

#include "../Tests/C/replaced-malloc.h"

#include "../Tests/C/bare-queue.h"

#include <valgrind/callgrind.h>

#define WARM_UP 100
#define BURST 32
#define LOG_ALL BIT(26)
#define LOG_SHMFD BIT(1)
#define FAR 0x40000000ull /* where the other ranges begin */

static bool counting;

static void toggle_counting(void)
{
    if (counting) {
        CALLGRIND_TOGGLE_COLLECT;
    }
}

/* Tells the back-end ranges of one page each, with gaps between them. Returns where the last range begins in the guest. */
static uint64_t tell_ranges(bare_queue *b, unsigned ranges)
{
    uint64_t last = RAM;
    for (unsigned i = 1; i < ranges; i++) {
        last = FAR + (uint64_t)i * 2 * PAGE;
        EQ(tell_region(b, ADD_MEM_REG, last, PAGE, USER + last, 0, b->ram_fd), 0);
    }
    return last;
}

static void log_writes(bare_queue *b, int file, uint64_t size)
{
    uint64_t payload[2] = {size, 0};
    EQ(tell(b, 6, payload, sizeof(payload), file), 0);
    EQ(tell_u64(b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(29) | LOG_ALL, -1), 0);
}

static uint64_t take_bursts(bare_queue *b, unsigned rounds)
{
    vhushmem_chain *chains[BURST];
    uint32_t written[BURST];
    uint64_t before = 0;
    for (unsigned i = 0; i < BURST; i++) {
        set_descriptor_at(b, i, RAM + 64 * i, 64, WRITE, 0);
        written[i] = 64;
    }
    for (unsigned round = 0; round < WARM_UP + rounds; round++) {
        if (round == WARM_UP) {
            before = allocations;
            counting = true;
        }
        for (uint16_t i = 0; i < BURST; i++) {
            offer(b, i);
        }
        toggle_counting();
        EQ(vhushmem_backend_pop_many(b->r.backend, 0, chains, BURST, NULL), BURST);
        EQ(vhushmem_backend_push_many(b->r.backend, 0, chains, written, BURST, NULL), BURST);
        toggle_counting();
        for (unsigned i = 0; i < BURST; i++) {
            EQ(taken_back(b), i);
        }
    }
    return before;
}

int main(int argc, char **argv)
{
    bare_queue b;
    char *rest;
    CHECK(argc == 3);
    bool bursts = strcmp(argv[1], "burst") == 0;
    unsigned descriptors = (unsigned)strtoul(bursts ? "1" : argv[1], &rest, 0), rounds = (unsigned)strtoul(argv[2], NULL, 0),
             ranges = 1;
    bool logs = strncmp(rest, "-log", 4) == 0;
    rest += logs ? 4 : 0;
    if (*rest == '-') {
        ranges = (unsigned)strtoul(rest + 1, NULL, 0);
    }
    bare_queue_init(&b);
    b.size = 32;
    CHECK(descriptors >= 1 && descriptors <= b.size);
    bare_queue_connect(&b, BARE_FEATURES | LOG_SHMFD);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(29), -1), 0);
    tell_ram(&b);
    uint64_t buffers = tell_ranges(&b, ranges), log_size = (buffers + RAM_SIZE) / PAGE / 8 + 1;
    int file = memfd_of(log_size + PAGE, 0);
    start_queue(&b, 0);
    if (logs) {
        log_writes(&b, file, log_size);
    }
    for (unsigned i = 0; i < descriptors; i++) {
        set_descriptor_at(&b, i, buffers + 64 * i, 64, (uint16_t)(WRITE | (i + 1 < descriptors ? NEXT : 0)), (uint16_t)(i + 1));
    }
    uint64_t before = bursts ? take_bursts(&b, rounds) : 0;
    for (unsigned i = 0; !bursts && i < WARM_UP + rounds; i++) {
        if (i == WARM_UP) {
            before = allocations;
            counting = true;
        }
        offer(&b, 0);
        toggle_counting();
        vhushmem_chain *chain = vhushmem_backend_pop(b.r.backend, 0, NULL);
        CHECK(chain != NULL);
        int result = vhushmem_backend_push(b.r.backend, chain, 64 * descriptors, NULL);
        toggle_counting();
        EQ(result, 0);
        EQ(taken_back(&b), 0);
    }
    printf("allocations %g\n", (double)(allocations - before) / rounds);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(file);
    return 0;
}
