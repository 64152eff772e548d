/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BASE_H
#define VHUSHMEM_BASE_H

/**
 * @file
 * What every other header stands on: the opaque types, and how functions are exported.
 *
 * Conventions of the whole library:
 *  - An `int` function returns 0 or a positive value when it did what was asked, and a negative
 *    errno value when it did not. When it did not, nothing has changed.
 *  - A `GError **errp` may be NULL. When it is not, it receives a sentence that says what was asked
 *    and what stood in the way; its domain is VHUSHMEM_ERROR and its code is the (positive) errno
 *    value.
 *  - Out-parameters are written on success only.
 *  - A pointer argument that must not be NULL and is: -EFAULT (or NULL, or false), never a crash.
 *  - `_free` and `_unref` of NULL do nothing.
 *  - Offsets and lengths are in bytes.
 *  - An object belongs to the process that made it. A child of fork may give it back (_free,
 *    _unref) and do nothing else with it; its parent goes on undisturbed.
 *  - No function installs a signal handler, starts a thread, or raises SIGPIPE.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/** What an export looks like; the library itself is built with hidden visibility. */
#define VHUSHMEM_API __attribute__((visibility("default")))

/**
 * Stands behind a function whose result must not be ignored: nothing else owns what it returns, or
 * tells what it says.
 */
#define VHUSHMEM_CHECK_RESULT __attribute__((warn_unused_result))

/** A device: the regions of one vhost-user device, with their quotas. Reference counted. */
typedef struct vhushmem_device vhushmem_device;
/**
 * A VIRTIO shared memory region of a device, and the window of host addresses that stands for it.
 * Reference counted.
 */
typedef struct vhushmem_region vhushmem_region;
/** One mapping: a range of a file at a range of a region. Reference counted. */
typedef struct vhushmem_mapping vhushmem_mapping;
/** The VMM's side of a vhost-user connection. */
typedef struct vhushmem_frontend vhushmem_frontend;
/** The files that devices share with each other. Reference counted. */
typedef struct vhushmem_shared_objects vhushmem_shared_objects;
/** The device process's side of a vhost-user connection. */
typedef struct vhushmem_backend vhushmem_backend;

/**
 * What a driver has put into a virtqueue, and a back-end has taken: memory to read, and memory to
 * write.
 */
typedef struct vhushmem_chain vhushmem_chain;

/** Region ids are 0 to 255. */
#define VHUSHMEM_MAX_REGIONS 256

#endif
