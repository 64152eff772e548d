/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: queue-libvhost-user ROUNDS, under callgrind with --collect-atstart=no. The same bursts as `queue burst` takes, with
 * QEMU's libvhost-user: it takes 32 chains of one descriptor, and gives them back at once. callgrind counts the instructions of
 * that. A thread is the front-end, which sets the queue up. scripts/bench compiles this with QEMU's sources if
 * scripts/fetch-qemu has fetched them.
 */
#include "measure.h"

#include <pthread.h>

#include <valgrind/callgrind.h>

#include "libvhost-user-device.h"
#include "one-queue.h"

#define WARM_UP 100
#define BURST 32

static uint8_t *ram;
static bool runs;

static void queue_started(VuDev *dev, int index, bool started)
{
    (void)dev;
    (void)index;
    runs = started;
}

static void offer(uint16_t head)
{
    static uint16_t count;
    uint16_t *avail = (uint16_t *)(void *)(ram + AVAIL);
    avail[2 + count % BURST] = head;
    __atomic_store_n(&avail[1], ++count, __ATOMIC_RELEASE);
}

static void take_and_give_back(VuDev *dev, VuVirtq *queue)
{
    VuVirtqElement *elements[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        elements[i] = vu_queue_pop(dev, queue, sizeof(VuVirtqElement));
        MUST(elements[i] != NULL);
    }
    for (unsigned i = 0; i < BURST; i++) {
        vu_queue_fill(dev, queue, elements[i], 64, i);
        free(elements[i]);
    }
    vu_queue_flush(dev, queue, BURST);
    vu_queue_notify(dev, queue);
}

int main(int argc, char **argv)
{
    static const VuDevIface device = {
        .get_features = features, .set_features = set_features, .queue_set_started = queue_started, .get_config = get_config};
    VuDev dev;
    one_queue queue = {.size = BURST, .features = EVENT_IDX};
    pthread_t thread;
    int ends[2];
    MUST(argc == 2);
    uint64_t rounds = number_of(argv[1]);
    offered_features |= EVENT_IDX;
    ram = one_queue_memory(&queue);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    queue.socket = ends[0];
    MUST(pthread_create(&thread, NULL, one_queue_start, &queue) == 0);
    MUST(vu_init(&dev, 1, ends[1], panic, NULL, watch, unwatch, &device));
    while (!runs) {
        MUST(serve_sockets(&dev, ends[1], -1));
    }
    for (uint64_t i = 0; i < BURST; i++) {
        struct {
            uint64_t addr;
            uint32_t len;
            uint16_t flags, next;
        } descriptor = {RAM_AT + BUFFERS + 64 * i, 64, 2, 0};
        memcpy(ram + DESC + 16 * i, &descriptor, sizeof(descriptor));
    }
    for (uint64_t round = 0; round < WARM_UP + rounds; round++) {
        for (uint16_t i = 0; i < BURST; i++) {
            offer(i);
        }
        if (round >= WARM_UP) {
            CALLGRIND_TOGGLE_COLLECT;
        }
        take_and_give_back(&dev, vu_get_queue(&dev, 0));
        if (round >= WARM_UP) {
            CALLGRIND_TOGGLE_COLLECT;
        }
    }
    MUST(*(uint16_t *)(void *)(ram + USED + 2) == (uint16_t)(BURST * (WARM_UP + rounds)));
    exit(0);
}
