/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver may put the same indirect table into a queue any number of times. The pieces that a device holds are bounded.
 * Further chains wait until chains are given back.
 */
#include "bare-queue.h"

#define ENTRIES 2048
#define PIECES 1024 /* of each chain */
#define MOST (1 << 20)
#define BIG 0x1000000ull
#define BIG_SIZE (64 * PAGE)
#define BIG_USER (USER + 0x1000000)
#define BIG_AVAIL 0x8000
#define BIG_USED 0x10000
#define BIG_TABLE 0x18000

static bare_queue b;
static uint8_t *ram;
static uint16_t offered = ENTRIES;

static descriptor *descriptors, *table;

/* Makes the next chains available: these heads, in their order. */
static void offer_next(unsigned from, unsigned count)
{
    uint16_t *avail = (uint16_t *)(ram + BIG_AVAIL);
    for (unsigned i = 0; i < count; i++) {
        avail[2 + offered++ % ENTRIES] = (uint16_t)(from + i);
    }
    __atomic_store_n(&avail[1], offered, __ATOMIC_RELEASE);
}

/* `count` buffers of one byte, one after the other, in one chain. */
static void make_list(descriptor *list, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool is_last = i == count - 1;
        list[i] = (descriptor){BIG, 1, is_last ? 0 : NEXT, is_last ? 0 : (uint16_t)(first + i + 1)};
    }
}

static int pop_many(vhushmem_chain **chains, size_t max)
{
    return ok(vhushmem_backend_pop_many(b.r.backend, 0, chains, max, &error));
}

static int push_many(vhushmem_chain **chains, size_t count)
{
    static const uint32_t written[ENTRIES];
    return ok(vhushmem_backend_push_many(b.r.backend, 0, chains, written, count, &error));
}

/* Chains of one buffer, which a burst takes by a shorter way, count the same. */
static void single_buffers_count_the_same(void)
{
    static vhushmem_chain *chains[ENTRIES], *small[16];
    /* Head 1 was never given back. These chains leave room for 12 pieces. */
    unsigned first = 2, full = MOST / PIECES, plain = first + full, list = plain + 16;
    make_list(table + PIECES, 0, PIECES - 12);
    descriptors[first + full - 1].addr = BIG + BIG_TABLE + 16 * PIECES;
    descriptors[first + full - 1].len = (PIECES - 12) * 16;
    for (unsigned i = plain; i < list; i++) {
        make_list(descriptors + i, i, 1);
    }
    make_list(descriptors + list, list, 8);
    offer_next(first, full);
    EQ(pop_many(chains, ENTRIES), full);
    /* The library has eight chains to use again. A chain of eight pieces takes one of them, so there is room for four. */
    offer_next(plain, 8);
    EQ(pop_many(small, 16), 8);
    EQ(push_many(small, 8), 8);
    offer_next(list, 1);
    EQ(pop_many(chains + full, 1), 1);
    offer_next(plain, 7);
    EQ(pop_many(small, 16), 4);
    EQ(pop_many(small + 4, 12), 0);
    EQ(push_many(small, 4), 4);
    EQ(pop_many(small, 16), 3);
    EQ(push_many(small, 3), 3);
    EQ(push_many(chains, full + 1), full + 1);
}

int main(void)
{
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(28), -1), 0);
    int fd = memfd_of(BIG_SIZE, 0);
    ram = mmap(NULL, BIG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(ram != MAP_FAILED);
    EQ(tell_region(&b, ADD_MEM_REG, BIG, BIG_SIZE, BIG_USER, 0, fd), 0);
    descriptors = (void *)ram;
    table = (void *)(ram + BIG_TABLE);
    uint16_t *avail = (uint16_t *)(ram + BIG_AVAIL);
    for (unsigned i = 0; i < ENTRIES; i++) {
        descriptors[i].addr = BIG + BIG_TABLE;
        descriptors[i].len = PIECES * 16;
        descriptors[i].flags = INDIRECT;
        avail[2 + i] = (uint16_t)i;
    }
    make_list(table, 0, PIECES);
    avail[1] = ENTRIES;
    EQ(tell_vring(&b, SET_VRING_NUM, 0, ENTRIES), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 0), 0);
    EQ(tell_rings(&b, 0, 0, BIG_USER, BIG_USER + BIG_AVAIL, BIG_USER + BIG_USED), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);

    static vhushmem_chain *chains[ENTRIES];
    int count = 0;
    while ((chains[count] = vhushmem_backend_pop(b.r.backend, 0, &error)) != NULL) {
        count++;
    }
    CHECK(error == NULL);
    EQ(count, MOST / PIECES);

    /* One goes back, so there is room for one more, and the device is told. */
    pump_backend(b.r.backend);
    int kicked = b.seen[VHUSHMEM_QUEUE_KICKED];
    EQ(vhushmem_backend_push(b.r.backend, chains[0], 0, &error), 0);
    STEP_UNTIL(b.seen[VHUSHMEM_QUEUE_KICKED] > kicked, pump_backend(b.r.backend));
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], kicked + 1);
    chains[0] = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    EQ(vhushmem_chain_head(chains[0]), MOST / PIECES);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);

    /* A chain that is freed without being given back no longer takes room. */
    vhushmem_chain_free(chains[1]);
    vhushmem_chain *more = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    EQ(vhushmem_chain_head(more), MOST / PIECES + 1);
    chains[1] = more;

    /* Bursts count the same. Four go back, the last of which is said twice, and there is room for four. */
    vhushmem_chain *burst[5] = {chains[2], chains[3], chains[4], chains[5], chains[5]};
    uint32_t none[5] = {0};
    EQ(vhushmem_backend_push_many(b.r.backend, 0, burst, none, 5, &error), 4);
    pump_backend(b.r.backend);
    EQ(vhushmem_backend_pop_many(b.r.backend, 0, burst, 5, &error), 4);
    EQ(vhushmem_chain_head(burst[0]), MOST / PIECES + 2);
    memcpy(chains + 2, burst, 4 * sizeof(*burst));
    kicked = b.seen[VHUSHMEM_QUEUE_KICKED];
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], kicked);
    EQ(vhushmem_backend_push_many(b.r.backend, 0, chains, none, 1, &error), 1);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], kicked + 1); /* the burst before had found no more room */
    EQ(vhushmem_backend_pop_many(b.r.backend, 0, chains, 1, &error), 1);

    /* In the end all were taken. */
    int next = count + 7;
    for (int i = 0; i < count; i++) {
        EQ(vhushmem_backend_push(b.r.backend, chains[i], 0, &error), 0);
    }
    for (vhushmem_chain *chain; (chain = vhushmem_backend_pop(b.r.backend, 0, &error)) != NULL; next++) {
        EQ(vhushmem_backend_push(b.r.backend, chain, 0, &error), 0);
    }
    EQ(next, ENTRIES);
    single_buffers_count_the_same();
    EQ(stop_queue(&b), offered);
    backend_rig_close(&b.r);
    munmap(ram, BIG_SIZE);
    close(fd);
    bare_queue_close(&b);
    return 0;
}
