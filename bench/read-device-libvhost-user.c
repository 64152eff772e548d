/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: read-device-libvhost-user SOCKET FILE. Does the same as read-device.c with QEMU's libvhost-user: the same preadv for
 * each chain. scripts/bench compiles it with QEMU's sources if scripts/fetch-qemu has fetched them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "libvhost-user.h"

#define MOST_WATCHED 16

static struct {
    int fd;
    vu_watch_cb fn;
    void *data;
} watched[MOST_WATCHED];

static unsigned count;
static int file;

static void unwatch(VuDev *dev, int fd)
{
    (void)dev;
    for (unsigned i = 0; i < count; i++) {
        if (watched[i].fd == fd) {
            watched[i] = watched[--count];
            return;
        }
    }
}

static void watch(VuDev *dev, int fd, int condition, vu_watch_cb fn, void *data)
{
    (void)condition;
    unwatch(dev, fd);
    if (count < MOST_WATCHED) {
        watched[count].fd = fd;
        watched[count].fn = fn;
        watched[count++].data = data;
    }
}

static void panic(VuDev *dev, const char *message)
{
    (void)dev;
    fprintf(stderr, "%s\n", message);
    exit(1);
}

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

static uint64_t features(VuDev *dev)
{
    (void)dev;
    return 1ULL << 32 | 1ULL << 28 | 1ULL << 29;
}

static void set_features(VuDev *dev, uint64_t accepted)
{
    (void)dev;
    (void)accepted;
}

static void queue_started(VuDev *dev, int index, bool started)
{
    vu_set_queue_handler(dev, vu_get_queue(dev, index), started ? serve : NULL);
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
    (void)dev;
    memset(config, 0, len);
    return 0;
}

int main(int argc, char **argv)
{
    static const VuDevIface device = {
        .get_features = features, .set_features = set_features, .queue_set_started = queue_started, .get_config = get_config};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    VuDev dev;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    file = argc == 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argc > 1 ? argv[1] : "");
    if (file < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0) {
        perror("read-device-libvhost-user SOCKET FILE");
        return 1;
    }
    int socket = accept(listener, NULL, NULL);
    if (socket < 0 || !vu_init(&dev, 1, socket, panic, NULL, watch, unwatch, &device)) {
        return 1;
    }
    for (;;) {
        struct pollfd fds[MOST_WATCHED + 1] = {{.fd = socket, .events = POLLIN}};
        unsigned all = count;
        for (unsigned i = 0; i < all; i++) {
            fds[i + 1] = (struct pollfd){.fd = watched[i].fd, .events = POLLIN};
        }
        poll(fds, all + 1, -1);
        for (unsigned i = 0; i < all && i < count; i++) {
            if (fds[i + 1].revents != 0 && fds[i + 1].fd == watched[i].fd) {
                watched[i].fn(&dev, POLLIN, watched[i].data);
            }
        }
        if (fds[0].revents != 0 && !vu_dispatch(&dev)) {
            return 0;
        }
    }
}
