/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BASE_H
#define VHUSHMEM_BASE_H

/**
 * @file
 * Conventions, the opaque types, and the macros of exported functions. Every other header includes
 * this one.
 *
 * Conventions of the whole library:
 *  - An `int` function returns 0 or a positive value on success, and a negative errno value on
 *    failure. After a failure nothing has changed.
 *  - A `GError **errp` may be NULL. If it is not NULL, a failure stores an error there. Its message
 *    is a sentence with the request and the reason of the failure. Its domain is
 *    VHUSHMEM_ERROR, and its code is the (positive) errno value.
 *  - A function writes its out-parameters only on success.
 *  - If a pointer must not be NULL and is NULL, the function returns -EFAULT (or NULL, or false).
 *    It never crashes.
 *  - `_free` and `_unref` of NULL do nothing.
 *  - Offsets and lengths are in bytes.
 *  - An object belongs to the process that made it. A child of fork may call only _free and _unref
 *    for it, and only if no other thread was in a call for that object when the process forked.
 *    That has no effect on the parent. The child may make objects of its own.
 *  - No function raises SIGPIPE. Only vhushmem_guard_install installs a signal handler.
 *  - The library starts a thread only to close a descriptor of a peer if the close may wait, and to
 *    undo many mappings of a device that has gone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/** Marks an exported function. The library itself is built with hidden visibility. */
#define VHUSHMEM_API __attribute__((visibility("default")))

/**
 * Marks a function whose result must not be ignored: the result is the only owner of an object, or
 * the only report of a failure.
 */
#define VHUSHMEM_CHECK_RESULT __attribute__((warn_unused_result))

/** The regions of one vhost-user device, with their quotas. Reference counted. */
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
/** The side of the device process in a vhost-user connection. */
typedef struct vhushmem_backend vhushmem_backend;

/** A request that a back-end has taken from a virtqueue: memory to read, and memory to write. */
typedef struct vhushmem_chain vhushmem_chain;

/** Region ids are 0 to 255. */
#define VHUSHMEM_MAX_REGIONS 256

#endif
