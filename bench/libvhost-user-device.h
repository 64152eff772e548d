/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts that each device on QEMU's libvhost-user needs: the watched descriptors, a listener,
 * and the features that the devices here offer.
 */
#ifndef LIBVHOST_USER_DEVICE_H
#define LIBVHOST_USER_DEVICE_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libvhost-user.h"

#define MOST_WATCHED 16

static struct {
    int fd;
    vu_watch_cb fn;
    void *data;
} watched[MOST_WATCHED];

static unsigned watched_count;

static void unwatch(VuDev *dev, int fd)
{
    (void)dev;
    for (unsigned i = 0; i < watched_count; i++) {
        if (watched[i].fd == fd) {
            watched[i] = watched[--watched_count];
            return;
        }
    }
}

static void watch(VuDev *dev, int fd, int condition, vu_watch_cb fn, void *data)
{
    (void)condition;
    unwatch(dev, fd);
    if (watched_count < MOST_WATCHED) {
        watched[watched_count].fd = fd;
        watched[watched_count].fn = fn;
        watched[watched_count++].data = data;
    }
}

static void panic(VuDev *dev, const char *message)
{
    (void)dev;
    fprintf(stderr, "%s\n", message);
    exit(1);
}

/* VERSION_1, and what is said besides. */
static uint64_t offered_features = 1ULL << 32;

static uint64_t features(VuDev *dev)
{
    (void)dev;
    return offered_features;
}

static void set_features(VuDev *dev, uint64_t accepted)
{
    (void)dev;
    (void)accepted;
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
    (void)dev;
    memset(config, 0, len);
    return 0;
}

/* Returns the socket of the front-end that comes; -1: errno says why. */
static int wait_for_front_end(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 1) < 0) {
        return -1;
    }
    return accept(listener, NULL, NULL);
}

/* Waits so many milliseconds (-1: no limit) and serves what is ready. False: no front-end. */
static bool serve_sockets(VuDev *dev, int socket, int timeout)
{
    struct pollfd fds[MOST_WATCHED + 1] = {{.fd = socket, .events = POLLIN}};
    unsigned all = watched_count;
    for (unsigned i = 0; i < all; i++) {
        fds[i + 1] = (struct pollfd){.fd = watched[i].fd, .events = POLLIN};
    }
    poll(fds, all + 1, timeout);
    for (unsigned i = 0; i < all && i < watched_count; i++) {
        if (fds[i + 1].revents != 0 && fds[i + 1].fd == watched[i].fd) {
            watched[i].fn(dev, POLLIN, watched[i].data);
        }
    }
    return fds[0].revents == 0 || vu_dispatch(dev);
}

#endif
