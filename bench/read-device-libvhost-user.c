/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: read-device-libvhost-user SOCKET FILE. Does the same as read-device.c with QEMU's libvhost-user: the same preadv for
 * each chain. scripts/bench compiles it with QEMU's sources if scripts/fetch-qemu has fetched them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <sys/uio.h>

#include "libvhost-user-device.h"

static int file;

static void serve(VuDev *dev, int index)
{
    VuVirtq *queue = vu_get_queue(dev, index);
    VuVirtqElement *element;
    while ((element = vu_queue_pop(dev, queue, sizeof(*element))) != NULL) {
        struct {
            uint32_t type, reserved;
            uint64_t sector;
        } header;
        struct iovec *in = element->in_sg;
        unsigned pieces = element->in_num - 1;
        uint32_t size = 0;
        memcpy(&header, element->out_sg[0].iov_base, sizeof(header));
        for (unsigned i = 0; i < pieces; i++) {
            size += (uint32_t)in[i].iov_len;
        }
        *(uint8_t *)in[pieces].iov_base = preadv(file, in, (int)pieces, (off_t)(header.sector * 512)) == (ssize_t)size ? 0 : 1;
        vu_queue_push(dev, queue, element, size + 1);
        free(element);
    }
    vu_queue_notify(dev, queue);
}

static void queue_started(VuDev *dev, int index, bool started)
{
    vu_set_queue_handler(dev, vu_get_queue(dev, index), started ? serve : NULL);
}

int main(int argc, char **argv)
{
    static const VuDevIface device = {
        .get_features = features, .set_features = set_features, .queue_set_started = queue_started, .get_config = get_config};
    VuDev dev;
    offered_features |= 1ULL << 28 | 1ULL << 29;
    file = argc == 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    int socket = file < 0 ? -1 : wait_for_front_end(argv[1]);
    if (socket < 0) {
        perror("read-device-libvhost-user SOCKET FILE");
        return 1;
    }
    if (!vu_init(&dev, 1, socket, panic, NULL, watch, unwatch, &device)) {
        return 1;
    }
    while (serve_sockets(&dev, socket, -1)) {}
    return 0;
}
