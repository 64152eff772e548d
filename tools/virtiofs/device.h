/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_DEVICE_H
#define VHUSHMEM_VIRTIOFS_DEVICE_H

/* The VIRTIO device: configuration space, queues, and what happens to a connection. */

#include <vhushmem/virtqueue.h>

#include "fs.h"
#include "options.h"
#include "window.h"

/*
 * struct virtio_fs_config of the specification: tag, number of request queues, size of
 * notifications.
 */
#define DEVICE_TAG_SIZE 36
#define DEVICE_CONFIG_SIZE 44
#define DEVICE_MOST_QUEUES 64

struct device {
    vhushmem_backend *backend;
    struct fs fs;
    struct window window;
    uint8_t config[DEVICE_CONFIG_SIZE];
    unsigned queues;
    uint64_t pending; /**< queues that have more than one turn takes, a bit each */
    bool is_connected;
};

/** Makes the back-end. @returns 0, or a negative errno; `errp` says why. */
int device_init(struct device *device, const struct options *options, GError **errp);

/** Serves what one turn left over. */
void device_serve_pending(struct device *device);

/** Frees the back-end, and all that the guest had. */
void device_close(struct device *device);

#endif
