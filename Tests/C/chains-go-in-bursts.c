/* SPDX-License-Identifier: BSD-3-Clause */
/* Several chains are taken and given back at once: the device asks the driver for one kick, finds all with one look, and
   calls it once. */
#include "bare-queue.h"

#define EVENT_IDX BIT(29)
#define MOST 16

static void offer_all(bare_queue *b, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        set_descriptor(b, i, BUFFERS + 16 * i, 16, WRITE, 0);
        offer(b, (uint16_t)i);
    }
}

static uint16_t used_index(bare_queue *b) { return __atomic_load_n((uint16_t *)(b->ram + USED) + 1, __ATOMIC_ACQUIRE); }

/* The index at which the device wants a kick. */
static uint16_t available_event(bare_queue *b) { return *(uint16_t *)(b->ram + USED + 4 + 8 * b->size); }

static int pop_many(bare_queue *b, vhushmem_chain **chains, size_t max)
{
    return vhushmem_backend_pop_many(b->r.backend, 0, chains, max, &error);
}

static void take_four(bare_queue *b, vhushmem_chain **chains)
{
    offer_all(b, 0, 4);
    EQ(ok(pop_many(b, chains, MOST)), 4);
}

static int push_many(bare_queue *b, vhushmem_chain *const *chains, const uint32_t *written, size_t count)
{
    return vhushmem_backend_push_many(b->r.backend, 0, chains, written, count, &error);
}

/* From now on, chains of one buffer in RAM go the short way: the library has four chains to use again. */
static void warm_up(bare_queue *b)
{
    vhushmem_chain *chains[MOST];
    const uint32_t written[4] = {0};
    take_four(b, chains);
    EQ(ok(push_many(b, chains, written, 4)), 4);
    b->used_idx = b->avail_idx;
}

static void all_at_once(uint64_t features)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    uint32_t written[MOST];
    on_queue = NULL;
    bare_queue_open(&b, features);
    EQ(ok(pop_many(&b, chains, MOST)), 0);
    offer_all(&b, 0, 5);
    EQ(ok(pop_many(&b, chains, 0)), 0);
    EQ(ok(pop_many(&b, chains, 3)), 3);
    EQ(ok(pop_many(&b, chains + 3, SIZE_MAX)), 2);
    EQ(ok(pop_many(&b, chains + 5, MOST - 5)), 0);
    if (features != 0) {
        EQ(available_event(&b), 5);
    }
    for (unsigned i = 0; i < 5; i++) {
        EQ(vhushmem_chain_head(chains[i]), i);
        EQ(vhushmem_chain_writable_size(chains[i]), 16);
        written[i] = i + 1;
    }
    signalled(b.call);
    EQ(ok(push_many(&b, chains, written, 5)), 5);
    EQ(used_index(&b), 5);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t *entry = (uint32_t *)(b.ram + USED + 4 + 8 * i);
        EQ(entry[0], i);
        EQ(entry[1], i + 1);
    }
    uint64_t calls = 0;
    EQ(read(b.call, &calls, 8), 8);
    EQ(calls, 1);
    EQ(ok(push_many(&b, chains, written, 0)), 0);
    CHECK(!signalled(b.call));
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* The call ends at the first chain that cannot be given back. The caller keeps it and those after it. */
static void stops_at_the_first(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    uint32_t written[MOST] = {0};
    bare_queue_open(&b, 0);
    take_four(&b, chains);
    written[2] = 17;
    EQ(ok(push_many(&b, chains, written, 4)), 2);
    EQ(used_index(&b), 2);
    refused(push_many(&b, chains + 2, written + 2, 2), -EINVAL, "more bytes");
    EQ(used_index(&b), 2);
    written[2] = 16;
    vhushmem_chain *twice[2] = {chains[2], chains[2]};
    EQ(ok(push_many(&b, twice, written + 2, 2)), 1);
    EQ(used_index(&b), 3);
    vhushmem_chain *none[2] = {chains[3], NULL};
    EQ(ok(push_many(&b, none, written, SIZE_MAX)), 1); /* it does not look beyond the NULL */
    EQ(used_index(&b), 4);
    refused(push_many(&b, none + 1, written, 1), -EFAULT, "NULL");
    refused(vhushmem_backend_push_many(b.r.backend, 1, chains, written, 1, &error), -ENOTCONN, "queue 1");
    refused(vhushmem_backend_push_many(b.r.backend, 2, chains, written, 1, &error), -EINVAL, "no queue 2");
    refused(vhushmem_backend_pop_many(b.r.backend, 2, chains, 1, &error), -EINVAL, "no queue 2");
    offer_all(&b, 0, 1);
    EQ(ok(pop_many(&b, chains, MOST)), 1);
    stop_queue(&b);
    refused(push_many(&b, chains, written, 1), -ENOTCONN, "queue 0");
    refused(pop_many(&b, chains + 1, 1), -ENOTCONN, "queue 0");
    start_queue(&b, 5);
    refused(push_many(&b, chains, written, 1), -ESTALE, "stopped");
    vhushmem_chain_free(chains[0]);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Guest memory has changed, so the library does not use these chains again. It still notices one that is there twice. */
static void memory_may_change_before_they_go_back(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    uint32_t written[MOST] = {0};
    bare_queue_open(&b, 0);
    take_four(&b, chains);
    EQ(tell_region(&b, ADD_MEM_REG, 2 * RAM, PAGE, USER + RAM, 0, b.ram_fd), 0);
    vhushmem_chain *all[5] = {chains[2], chains[0], chains[1], chains[1], chains[3]};
    EQ(ok(push_many(&b, all, written, 5)), 3);
    EQ(used_index(&b), 3);
    vhushmem_chain *once[1] = {chains[3]};
    EQ(ok(push_many(&b, once, written, 1)), 1);
    take_four(&b, chains);
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    EQ(used_index(&b), 8);
    /* Those that were taken before and given back after it would not know the new memory. */
    take_four(&b, chains);
    EQ(tell_region(&b, ADD_MEM_REG, 4 * RAM, PAGE, USER + 2 * RAM, BUFFERS, b.ram_fd), 0);
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    for (unsigned i = 0; i < 4; i++) {
        set_descriptor_at(&b, i, 4 * RAM + 16 * i, 16, WRITE, 0);
        offer(&b, (uint16_t)i);
    }
    EQ(ok(pop_many(&b, chains, MOST)), 4);
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    /* The range where the last buffer was goes away. The chains that were taken there still have it. */
    offer(&b, 0);
    EQ(ok(pop_many(&b, chains, MOST)), 1);
    EQ(tell_region(&b, REM_MEM_REG, 4 * RAM, PAGE, USER + 2 * RAM, BUFFERS, -1), 0);
    EQ(vhushmem_chain_write(chains[0], 0, "kept", 4), 4);
    CHECK(memcmp(b.ram + BUFFERS, "kept", 4) == 0);
    EQ(ok(push_many(&b, chains, written, 1)), 1);
    EQ(used_index(&b), 17);
    /* No other is taken there: it goes back at once. */
    offer(&b, 0);
    EQ(ok(pop_many(&b, chains, MOST)), 0);
    EQ(used_index(&b), 18);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* The chains that were taken before the queue broke are there. The next call reports it. */
static void queue_may_break_behind_them(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    uint32_t written[MOST] = {0};
    bare_queue_open(&b, 0);
    offer_all(&b, 0, 2);
    offer(&b, 99);
    EQ(ok(pop_many(&b, chains, MOST)), 2);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    refused(pop_many(&b, chains + 2, 1), -EPROTO, "queue 0 is broken");
    refused(push_many(&b, chains, written, 2), -EPROTO, "queue 0 is broken");
    vhushmem_chain_free(chains[0]);
    vhushmem_chain_free(chains[1]);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* A driver that is ahead by more than the queue's size breaks it before a chain is taken. */
static void index_may_not_run_away(void)
{
    bare_queue b;
    vhushmem_chain *chains[2 * MOST];
    bare_queue_open(&b, 0);
    warm_up(&b);
    offer_all(&b, 0, 4);
    b.avail_idx += 13;
    offer(&b, 4);
    refused(pop_many(&b, chains, 2 * MOST), -EPROTO, "ahead by more than the queue's size");
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Only the chain that was taken last can be put back, and then the one before it. */
static void last_of_a_burst_may_be_put_back(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    const uint32_t written[MOST] = {0};
    bare_queue_open(&b, EVENT_IDX);
    warm_up(&b);
    take_four(&b, chains);
    refused(vhushmem_backend_put_back(b.r.backend, chains[2], &error), -EINVAL, "taken last");
    EQ(ok(vhushmem_backend_put_back(b.r.backend, chains[3], &error)), 0);
    EQ(ok(vhushmem_backend_put_back(b.r.backend, chains[2], &error)), 0);
    EQ(ok(pop_many(&b, chains + 2, MOST)), 2);
    for (unsigned i = 0; i < 4; i++) {
        EQ(vhushmem_chain_head(chains[i]), i);
    }
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    EQ(stop_queue(&b), 8);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Both indices run from 65535 to 0 in the middle of a burst. The driver wants a call when its index passes 65534. */
static void indices_may_come_round(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    const uint32_t written[MOST] = {0};
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | EVENT_IDX, -1), 0);
    tell_ram(&b);
    b.avail_idx = b.used_idx = 65530;
    memcpy(b.ram + AVAIL + 2, &b.avail_idx, 2);
    memcpy(b.ram + USED + 2, &b.used_idx, 2);
    start_queue(&b, 65530);
    *(uint16_t *)(b.ram + AVAIL + 4 + 2 * b.size) = 65534;
    warm_up(&b);              /* up to 65534 */
    CHECK(signalled(b.call)); /* the first call always comes */
    offer_all(&b, 0, 1);
    EQ(ok(pop_many(&b, chains, MOST)), 1);
    EQ(available_event(&b), 65535);
    EQ(ok(push_many(&b, chains, written, 1)), 1);
    CHECK(signalled(b.call));
    offer_all(&b, 0, 4);
    EQ(ok(pop_many(&b, chains, MOST)), 4);
    EQ(available_event(&b), 3);
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    EQ(used_index(&b), 3);
    CHECK(!signalled(b.call));
    EQ(*(uint32_t *)(b.ram + USED + 4 + 8 * 15), 0);
    for (unsigned i = 0; i < 3; i++) {
        EQ(*(uint32_t *)(b.ram + USED + 4 + 8 * i), i + 1);
    }
    EQ(stop_queue(&b), 3);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Requests in flight: each is marked until it is given back, one after the other. */
static void ledger_has_each(void)
{
    bare_queue b;
    vhushmem_chain *chains[MOST];
    uint32_t written[MOST] = {0};
    size_t size;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    uint8_t *ledger = map_inflight(&b, &size);
    start_queue(&b, 0);
    take_four(&b, chains);
    for (int i = 0; i < 4; i++) {
        EQ(ledger[16 + 16 * i], 1);
    }
    EQ(ok(push_many(&b, chains, written, 3)), 3);
    for (int i = 0; i < 4; i++) {
        EQ(ledger[16 + 16 * i], i == 3);
    }
    EQ(*(uint16_t *)(ledger + 14), 3); /* the used index */
    EQ(used_index(&b), 3);
    EQ(ok(push_many(&b, chains + 3, written, 1)), 1);
    /* The library uses the four chains again, and marks these too. */
    take_four(&b, chains);
    for (int i = 0; i < 4; i++) {
        EQ(ledger[16 + 16 * i], 1);
    }
    EQ(ok(push_many(&b, chains, written, 4)), 4);
    EQ(*(uint16_t *)(ledger + 14), 8);
    munmap(ledger, size);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now();
    all_at_once(0);
    all_at_once(EVENT_IDX);
    stops_at_the_first();
    memory_may_change_before_they_go_back();
    queue_may_break_behind_them();
    index_may_not_run_away();
    last_of_a_burst_may_be_put_back();
    indices_may_come_round();
    ledger_has_each();
    same(fds, fds_now());
    return 0;
}
