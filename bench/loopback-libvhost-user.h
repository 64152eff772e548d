/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on QEMU's libvhost-user that polls a pair of queues. It ends with its front-end. */
#ifndef LOOPBACK_LIBVHOST_USER_H
#define LOOPBACK_LIBVHOST_USER_H

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

/* Calls `turn` again and again while both queues run. Returns the status of the process. */
static int run_device(const char *path, void (*turn)(VuDev *dev))
{
    static const VuDevIface device = {.get_features = features,
                                      .set_features = set_features,
                                      .queue_set_started = queue_started,
                                      .get_config = get_config};
    VuDev dev;
    int socket = path != NULL ? wait_for_front_end(path) : -1;
    if (socket < 0) {
        perror("a loopback device needs the path of its SOCKET");
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

#endif
