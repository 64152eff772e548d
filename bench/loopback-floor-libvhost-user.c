/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: loopback-floor-libvhost-user SOCKET [empty]. What loopback.c does, by a loop that knows all beforehand: guest memory
 * is one range, a chain is one descriptor, and nothing is checked. A guest could make it crash. So it shows the least that a
 * device costs. With `empty` it gives all chains back and copies nothing: then only the driver's time is left. QEMU's
 * libvhost-user sets the queues up. scripts/bench compiles it against QEMU's sources where scripts/fetch-qemu has fetched them.
 */
#include "loopback-libvhost-user.h"

static bool is_empty;
static uint16_t next[2]; /* A driver's indices begin with 0. */

static uint16_t available(const VuVirtq *queue) { return __atomic_load_n(&queue->vring.avail->idx, __ATOMIC_ACQUIRE); }

static uint16_t head(const VuVirtq *queue, uint16_t index) { return queue->vring.avail->ring[index % queue->vring.num]; }

static struct iovec buffer(const VuDev *dev, const VuVirtq *queue, uint16_t index)
{
    const VuDevRegion *memory = &dev->regions[0];
    const struct vring_desc *descriptor = &queue->vring.desc[head(queue, index)];
    uint64_t at = memory->mmap_addr + memory->mmap_offset + descriptor->addr - memory->gpa;
    return (struct iovec){(void *)(uintptr_t)at, descriptor->len};
}

static void give_back(VuVirtq *queue, uint16_t *index, const uint32_t *written, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++, (*index)++) {
        queue->vring.used->ring[*index % queue->vring.num] = (struct vring_used_elem){head(queue, *index), written[i]};
    }
    __atomic_store_n(&queue->vring.used->idx, *index, __ATOMIC_RELEASE);
}

static void turn(VuDev *dev)
{
    VuVirtq *sender = vu_get_queue(dev, SEND), *receiver = vu_get_queue(dev, RECEIVE);
    struct iovec sources[BURST], targets[BURST];
    uint32_t sizes[BURST], none[BURST] = {0};
    uint16_t count = (uint16_t)(available(sender) - next[SEND]), room = (uint16_t)(available(receiver) - next[RECEIVE]);
    count = count < room ? count : room;
    count = count < BURST ? count : BURST;
    for (uint16_t i = 0; i < count; i++) {
        sources[i] = buffer(dev, sender, (uint16_t)(next[SEND] + i));
        sizes[i] = (uint32_t)sources[i].iov_len;
    }
    for (uint16_t i = 0; i < count && !is_empty; i++) {
        targets[i] = buffer(dev, receiver, (uint16_t)(next[RECEIVE] + i));
        touch(&targets[i]);
    }
    for (uint16_t i = 0; i < count && !is_empty; i++) {
        sizes[i] = copy_packet(&sources[i], &targets[i]);
    }
    if (count > 0) {
        give_back(receiver, &next[RECEIVE], sizes, count);
        give_back(sender, &next[SEND], none, count);
    }
}

int main(int argc, char **argv)
{
    is_empty = argc == 3 && strcmp(argv[2], "empty") == 0;
    return run_device(argc >= 2 ? argv[1] : NULL, turn);
}
