/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_DEVICE_H
#define VHUSHMEM_VIRTIOFS_DEVICE_H

/* The VIRTIO device: its configuration space, its queues, and the events of its connection. */

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
    uint64_t pending; /**< a bit for each queue that has more requests than one turn takes */
    bool is_connected;
};

/** Make the back-end. @returns 0, or a negative errno; `errp` has the reason. */
int device_init(struct device *device, const struct options *options, GError **errp);

/** Serve requests that a turn has left. */
void device_serve_pending(struct device *device);

/** Free the back-end, and all objects of the guest. */
void device_close(struct device *device);

#endif
