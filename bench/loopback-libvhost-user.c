/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: loopback-libvhost-user SOCKET [single]. What loopback.c does, on QEMU's libvhost-user: it polls, takes bursts of 32,
 * copies each packet once, and shows each burst at once. With `single` it takes, gives back and notifies for one packet at a
 * time, as QEMU's own devices on that library do (vhost-user-bridge when it sends, vhost-user-blk, -scsi, -gpu). scripts/bench
 * compiles it against QEMU's sources where scripts/fetch-qemu has fetched them.
 */
#include "loopback-libvhost-user.h"

static unsigned burst = BURST;

/* Packets here have one buffer each. */
static uint32_t copy(const VuVirtqElement *from, const VuVirtqElement *to)
{
    return from->out_num == 1 && to->in_num > 0 ? copy_packet(from->out_sg, to->in_sg) : 0;
}

static unsigned take(VuDev *dev, VuVirtq *queue, VuVirtqElement **elements, unsigned most)
{
    unsigned count = 0;
    while (count < most && (elements[count] = vu_queue_pop(dev, queue, sizeof(VuVirtqElement))) != NULL) {
        count++;
    }
    return count;
}

static void give_back(VuDev *dev, VuVirtq *queue, VuVirtqElement **elements, const uint32_t *written, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        vu_queue_fill(dev, queue, elements[i], written[i], i);
        free(elements[i]);
    }
    vu_queue_flush(dev, queue, count);
    vu_queue_notify(dev, queue);
}

static void turn(VuDev *dev)
{
    VuVirtq *sender = vu_get_queue(dev, SEND), *receiver = vu_get_queue(dev, RECEIVE);
    VuVirtqElement *sent[BURST], *received[BURST];
    uint32_t sizes[BURST], none[BURST] = {0};
    unsigned count = take(dev, sender, sent, burst);
    if (count == 0) {
        return;
    }
    unsigned room = take(dev, receiver, received, count);
    for (unsigned i = 0; i < room; i++) {
        if (received[i]->in_num > 0) {
            touch(received[i]->in_sg);
        }
    }
    for (unsigned i = 0; i < room; i++) {
        sizes[i] = copy(sent[i], received[i]);
    }
    if (room > 0) {
        give_back(dev, receiver, received, sizes, room);
    }
    give_back(dev, sender, sent, none, count);
}

int main(int argc, char **argv)
{
    burst = argc == 3 && strcmp(argv[2], "single") == 0 ? 1 : BURST;
    return run_device(argc >= 2 ? argv[1] : NULL, turn);
}
