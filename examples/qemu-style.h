/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEMO_QEMU_STYLE_H
#define DEMO_QEMU_STYLE_H

/**
 * @file
 * What the device of qemu-style-device.c uses of a VMM such as QEMU, with QEMU's names: errors, the
 * vhost device with its operations, a message of the back-end and the answer to it. qemu-style.c
 * plays that VMM. QEMU has all of this itself.
 */

#include <stdio.h>

#include <vhushmem/series.h>

/* ---- errors ---- */

typedef GError Error;

#define error_setg(errp, ...) g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__)
#define error_report(...) ((void)printf("style   " __VA_ARGS__), (void)printf("\n"))

/* ---- vhost ---- */

struct vhost_dev;

typedef struct VhostOps {
    int (*vhost_get_shmem_config)(struct vhost_dev *dev, int *nregions, uint64_t *memory_sizes,
                                  Error **errp);
} VhostOps;

struct vhost_dev {
    VirtIODevice *vdev;
    const VhostOps *vhost_ops;
    int backend_channel;
};

/** A request of the back-end. */
typedef struct VhostUserMsg {
    VhostUserHeader hdr;
    VhostUserMMap mmap; /* the bytes that came, then zeros */
    int fd;             /* the reader closes it; -1: none came, or too many */
} VhostUserMsg;

/**
 * Answer a request if it asks for an answer. @returns false: the channel cannot be used any more.
 */
bool vhost_user_send_resp(struct vhost_dev *dev, const VhostUserMsg *msg, uint64_t value);

/* ---- the device ---- */

typedef struct StyleDevice {
    struct vhost_dev vhost_dev;
    MemoryRegion shmembar; /* has all regions */
} StyleDevice;

bool style_device_realize(StyleDevice *style, Error **errp);
/** Serve a request of the back-end. @returns false: the channel cannot be used any more. */
bool style_device_message(StyleDevice *style, const VhostUserMsg *msg);
void style_device_reset(StyleDevice *style);
void style_device_unrealize(StyleDevice *style);

#endif
