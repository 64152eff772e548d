/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: loopback-libvhost-user SOCKET. What loopback.c does, on QEMU's libvhost-user: it polls, takes bursts of 32, copies each packet once,
 * and shows each burst at once. scripts/bench compiles it against QEMU's sources where scripts/fetch-qemu has fetched them.
 */
#include "loopback.h"

#include "libvhost-user-device.h"

static bool runs[2];

static void queue_started(VuDev *dev, int index, bool started)
{
    if (index <= SEND) {
        runs[index] = started;
        if (started) {
            vu_queue_set_notification(dev, vu_get_queue(dev, index), 0);
        }
    }
}

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
    unsigned count = take(dev, sender, sent, BURST);
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
    static const VuDevIface device = {
        .get_features = features, .set_features = set_features, .queue_set_started = queue_started, .get_config = get_config};
    VuDev dev;
    int socket = argc == 2 ? wait_for_front_end(argv[1]) : -1;
    if (socket < 0) {
        perror("loopback-libvhost-user SOCKET");
        return 1;
    }
    if (!vu_init(&dev, 2, socket, panic, NULL, watch, unwatch, &device)) {
        return 1;
    }
    bool is_there = true;
    for (unsigned idle = 0; is_there; idle++) {
        if (!runs[RECEIVE] || !runs[SEND]) {
            is_there = serve_sockets(&dev, socket, -1);
            continue;
        }
        turn(&dev);
        is_there = idle % IDLE != 0 || serve_sockets(&dev, socket, 0);
    }
    return 0;
}
