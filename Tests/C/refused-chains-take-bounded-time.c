/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver may fill its queue with chains that cannot be served, each as long as the queue. The product of both is minutes
 * of work. One pop gives back a few, and KICKED comes again until none is left.
 */
#include "bare-queue.h"

#define COUNT 4096u
#define LARGE (1ull << 20)
#define AVAIL_AT 0x40000ull
#define USED_AT 0x80000ull
#define MOST (65536 / COUNT + 1)

static uint16_t used_before, pops;
static vhushmem_chain *served;

static uint16_t used_index(bare_queue *b) { return __atomic_load_n((uint16_t *)(b->ram + USED_AT) + 1, __ATOMIC_ACQUIRE); }

static void take(bare_queue *b, vhushmem_queue_event event)
{
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    vhushmem_chain *chain = vhushmem_backend_pop(b->r.backend, 0, &error);
    CHECK(error == NULL);
    uint16_t given_back = (uint16_t)(used_index(b) - used_before);
    CHECK(given_back <= MOST);
    used_before += given_back;
    pops++;
    if (chain != NULL) {
        CHECK(served == NULL);
        served = chain;
    }
}

int main(void)
{
    bare_queue b;
    bare_queue_init(&b);
    munmap(b.ram, RAM_SIZE);
    CHECK(ftruncate(b.ram_fd, (off_t)LARGE) == 0);
    b.ram = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.ram_fd, 0);
    CHECK(b.ram != MAP_FAILED);
    on_queue = take;
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    EQ(tell_region(&b, ADD_MEM_REG, RAM, LARGE, USER, 0, b.ram_fd), 0);
    /* The chain from 0 goes through the whole table, and ends far outside memory. */
    for (unsigned i = 0; i < COUNT - 1; i++) {
        set_descriptor(&b, i, AVAIL_AT, 1, NEXT, (uint16_t)(i + 1));
    }
    set_descriptor_at(&b, COUNT - 1, 1ull << 40, 1, 0, 0);
    uint16_t *avail = (uint16_t *)(b.ram + AVAIL_AT);
    avail[1] = COUNT;
    EQ(tell_vring(&b, SET_VRING_NUM, 0, COUNT), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 0), 0);
    EQ(tell_rings(&b, 0, 0, USER + DESC, USER + AVAIL_AT, USER + USED_AT), 0);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, b.call), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    STEP_UNTIL(used_index(&b) == COUNT, pump_backend(b.r.backend));
    CHECK(pops >= COUNT / MOST && served == NULL);
    CHECK(signalled(b.call));
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);

    /* The queue goes on: the next chain is served. */
    set_descriptor(&b, 7, AVAIL_AT, 1, 0, 0);
    avail[2] = 7;
    __atomic_store_n(&avail[1], COUNT + 1, __ATOMIC_RELEASE);
    kick(&b);
    EQ(vhushmem_chain_head(some(served)), 7);
    ok(vhushmem_backend_push(b.r.backend, served, 0, &error));
    EQ(used_index(&b), COUNT + 1);

    backend_rig_close(&b.r);
    munmap(b.ram, LARGE);
    close(b.ram_fd);
    close(b.kick);
    close(b.call);
    close(b.err);
    return 0;
}
