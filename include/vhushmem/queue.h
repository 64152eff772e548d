/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_QUEUE_H
#define VHUSHMEM_QUEUE_H

/**
 * @file
 * Running a device: guest memory, virtqueues, start and stop, in the order in which QEMU's generic
 * vhost-user device speaks.
 *
 * Thread rule: that of frontend.h, one thread at a time for one front-end. The two forms of start
 * and stop, and the errors that every request may end with, are as request.h has them.
 */

#include <vhushmem/base.h>
#include <vhushmem/mapping.h>
#include <vhushmem/region.h>
#include <vhushmem/request.h>

G_BEGIN_DECLS

/** A range of guest memory that is shared with the back-end. */
typedef struct vhushmem_guest_memory {
    uint64_t guest_addr; /**< where the guest has it */
    uint64_t size;       /**< bytes, not 0 */
    /**
     * where this process has it: what the addresses of queues refer to; only told, never touched
     */
    void *host;
    uint64_t fd_offset; /**< where it begins in the file */
    int32_t fd;         /**< the file that the memory is mapped from; duplicated */
    uint32_t reserved;  /**< 0 */
} vhushmem_guest_memory;

/**
 * Say what the guest's memory is: all of it, each time. A back-end that runs is told at once what
 * has changed, one that does not when it is started. Where the back-end agreed to
 * CONFIGURE_MEM_SLOTS the ranges are added and removed one by one, up to its number of slots; else
 * they go as one table of at most 8.
 *
 * The mappings of shared memory regions are no part of it, but for those that were given to
 * vhushmem_frontend_share_mapping. Not while a start or stop without waiting is under way.
 *
 * Each range is whole pages of a file that is open for reading and writing, and begins inside it: a
 * back-end maps it. A back-end that touches pages which the file lacks gets SIGBUS, so the file has
 * them all by then. What is no regular file (a device) is mapped once to see whether it can be.
 *
 * Before the start, and while a back-end that may come back is away, the ranges are kept until
 * there is somebody to tell, and the result is 0.
 *
 * @param ranges  `count` ranges, which must not overlap in the guest.
 * @returns 0, or -EINVAL (a range is empty, is no whole pages, wraps around, overlaps another or
 *          begins beyond its file; the descriptor can't be mapped), -EACCES (the descriptor is not
 *          open for reading and writing), -ENOSPC (more than the back-end has slots for), -EALREADY
 *          (an earlier change is still being told, or the device is being started), -ENOTCONN (the
 *          connection is over), -EBADF, -EMFILE, or what request.h says. After a failure the
 *          back-end may know a part; the next call tells the rest. With reconnect_ms, a back-end
 *          that comes in the place of one that was lost over it is told the new ranges.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_set_memory(vhushmem_frontend *frontend,
                                              const vhushmem_guest_memory *ranges, unsigned count,
                                              GError **errp);

/** The same without waiting: the reply tells how it ended, and nothing else. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_set_memory_async(vhushmem_frontend *frontend,
                                                    const vhushmem_guest_memory *ranges,
                                                    unsigned count, vhushmem_reply_fn fn,
                                                    void *user_data, GDestroyNotify destroy,
                                                    GError **errp);

/**
 * Share a mapping of another device with this front-end's back-end, as one more range of guest
 * memory: the two devices then have a buffer in common, which the guest may hand from one to the
 * other by its address. It takes one of the back-end's slots.
 *
 * The range stays shared until vhushmem_frontend_unshare_mapping, over vhushmem_frontend_set_memory
 * and a new start too. A mapping that was undone meanwhile is left out the next time that the
 * back-end is told anything about memory; until then the back-end keeps the pages that it has, and
 * nothing of this process.
 *
 * @param mapping     a live, writable mapping of a region with VHUSHMEM_REGION_KEEP_FDS
 *                    (vhushmem_region_find_mapping); a reference to it and a duplicate of its
 *                    descriptor are kept.
 * @param guest_addr  where the guest has its first byte: the region's guest address and shm_offset;
 *                    a multiple of the page size.
 * @returns 0, or -ENOENT (the mapping is not live), -EACCES (it is read-only, which guest memory
 *          can't be), -EBADF (its region keeps no descriptors), -EEXIST (it is shared already), or
 *          what vhushmem_frontend_set_memory returns.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_share_mapping(vhushmem_frontend *frontend,
                                                 vhushmem_mapping *mapping, uint64_t guest_addr,
                                                 GError **errp);

/** The same without waiting: the reply tells how it ended, and nothing else. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_share_mapping_async(vhushmem_frontend *frontend,
                                                       vhushmem_mapping *mapping,
                                                       uint64_t guest_addr, vhushmem_reply_fn fn,
                                                       void *user_data, GDestroyNotify destroy,
                                                       GError **errp);

/**
 * Take a shared mapping away from the back-end again: best before it is unmapped, or when the other
 * front-end's event tells so.
 *
 * @returns 0, or -ENOENT (it is not shared), or what vhushmem_frontend_set_memory returns.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_unshare_mapping(vhushmem_frontend *frontend,
                                                   vhushmem_mapping *mapping, GError **errp);

/** The same without waiting: the reply tells how it ended, and nothing else. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_unshare_mapping_async(vhushmem_frontend *frontend,
                                                         vhushmem_mapping *mapping,
                                                         vhushmem_reply_fn fn, void *user_data,
                                                         GDestroyNotify destroy, GError **errp);

/** vhushmem_frontend_share_region: mappings that may only be read are left out. */
#define VHUSHMEM_SHARE_WRITABLE_ONLY 1u

/**
 * Share each mapping of a region with the front-end's own back-end, as a range of guest memory of
 * its own: a guest may then use a piece of the region as the buffer of a request (a program that
 * writes from a file which it has mapped with DAX does so). Without this the back-end is told
 * nothing of the region, and cannot serve such a request.
 *
 * From now on each mapping is told with ADD_MEM_REG when it is there, and with REM_MEM_REG when it
 * is undone: those that are live already, and those to come, whoever makes them. One that takes the
 * place of another (VHUSHMEM_REGION_REPLACE) is both. The messages are sent by dispatch, behind the
 * answer to the request that made the change, and nobody waits for them: a request that a guest
 * offers between the two may fail. A device that is started is told before its queues are; a
 * stopped one when it is started; one that comes back (reconnect_ms) likewise. A reset undoes the
 * mappings, so they are removed. Sharing ends with vhushmem_frontend_unshare_region, or when the
 * connection is over for good.
 *
 * What is left out: what the back-end has no slot for, beyond 512 mappings of a region, until there
 * is room (guest RAM goes first, and takes the slot of a shared mapping if it must); pages that the
 * file did not have when it was told; and, until its range is mapped anew or the back-end comes
 * back, a mapping that the back-end refused (a warning in the log says so), and one whose file
 * cannot be sent as below.
 *
 * A mapping that may only be read is told with a descriptor that is open for reading alone, so that
 * no request writes to it. If the back-end has sent one that is open for writing, the file is
 * opened once more, through /proc/self/fd. That is done for files in memory and on local disks, on
 * which no lease is held; others are left out. Not every back-end takes such memory:
 *
 *  - one of this library does, once its device has mapped something read-only over the same
 *    connection. A request that would write there fails alone;
 *  - those of libvhost-user and of rust-vmm map all memory for writing. The one counts a failure as
 *    a fault of its device, which stops; the other closes the connection. For them set
 *    VHUSHMEM_SHARE_WRITABLE_ONLY.
 *
 * Each shared mapping takes one of the back-end's slots, and no descriptor of this process but
 * while a message waits to be sent.
 *
 * @param region      a region of this front-end's device with VHUSHMEM_REGION_KEEP_FDS; a reference
 *                    is kept while it is shared. For regions of other devices there is
 *                    vhushmem_frontend_share_mapping.
 * @param guest_addr  where the guest has the region's first byte; a multiple of the page size.
 * @param flags       0 or VHUSHMEM_SHARE_WRITABLE_ONLY.
 * @returns 0, or -ENOTCONN (the front-end is not ready yet, or its connection is over), -EINVAL
 *          (flags; the region is another device's; the address is no multiple of the page size, or
 *          the region wraps around or overlaps guest memory there), -EBADF (the region keeps no
 *          descriptors), -EOPNOTSUPP (the back-end did not agree to CONFIGURE_MEM_SLOTS), -EEXIST
 *          (it is shared already).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_share_region(vhushmem_frontend *frontend,
                                                vhushmem_region *region, uint64_t guest_addr,
                                                uint32_t flags, GError **errp);

/**
 * Share its mappings no longer: the back-end is told by dispatch. It may still be at work with them
 * until it has answered.
 *
 * @returns 0, or -ENOENT (it is not shared).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_unshare_region(vhushmem_frontend *frontend,
                                                  vhushmem_region *region, GError **errp);

/**
 * How many mappings of a shared region the back-end was told of, those among them whose message is
 * under way.
 *
 * @param left_out  receives how many other live mappings the region has; may be NULL.
 * @returns the number, or -ENOENT (the region is not shared), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int64_t vhushmem_frontend_shared_mappings(vhushmem_frontend *frontend,
                                                       vhushmem_region *region, uint64_t *left_out);

/** A split virtqueue, as the driver has set it up. Set struct_size to sizeof(vhushmem_queue). */
typedef struct vhushmem_queue {
    uint32_t struct_size;
    /**
     * entries; a power of two, at most 32768; 0: the driver has not set this queue up, the rest is
     * not read
     */
    uint16_t size;
    /** the index of the available ring to go on from: 0, or what stop_device said */
    uint16_t base;
    void *desc;  /**< where this process has the descriptor table; only told, never touched */
    void *avail; /**< likewise the available ring */
    /** likewise the used ring; after a reconnection its index is read, by process_vm_readv */
    void *used;
    int32_t kick_fd; /**< the eventfd that the driver's side signals; duplicated */
    /** the eventfd that the back-end signals; duplicated; -1: vhushmem_frontend_call_fd's */
    int32_t call_fd;
} vhushmem_queue;

/**
 * Start the device: SET_FEATURES, guest memory, the queues, and the device status where STATUS was
 * agreed on. Then each kick eventfd is signalled once: a request that is in a ring already is
 * served. A change of guest memory that is still being told, from before a stop or a reset, ends
 * first.
 *
 * @param features  the virtio features that the driver has accepted; VHOST_USER_F_PROTOCOL_FEATURES
 *                  is added.
 * @param queues    the first `count` queues of the device. One of size 0 is left out, so any of
 *                  them can be started alone.
 * @param count     0 to num_queues of the options.
 * @returns 0, or -EALREADY (it was started, or is being started, or stopped for a reset),
 *          -ECANCELED (it was reset meanwhile), -EINVAL (features that the back-end does not offer,
 *          a queue, count), -EBADF, -EMFILE,
 *          -ENOSPC (memory, as for set_memory), -EOPNOTSUPP (the back-end does not accept the
 *                  features: it took FEATURES_OK back), or what request.h says: the back-end may
 *                  then have been told a part.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_start_device(vhushmem_frontend *frontend, uint64_t features,
                                                const vhushmem_queue *queues, unsigned count,
                                                GError **errp);

/** The same without waiting: the reply tells how it ended, and nothing else. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_start_device_async(vhushmem_frontend *frontend,
                                                      uint64_t features,
                                                      const vhushmem_queue *queues, unsigned count,
                                                      vhushmem_reply_fn fn, void *user_data,
                                                      GDestroyNotify destroy, GError **errp);

/**
 * Stop the device: the queues are disabled, then each tells where it stopped. Nothing is reset: the
 * device's state can be saved, its status stays as it is, and mappings stay.
 * vhushmem_frontend_reset and a status of 0 drop them.
 *
 * @param bases  receives the base of each queue that was started (0 for one of size 0), `room` at
 *               the most; may be NULL.
 * @returns how many queues there were, or -ENOTCONN (the device was not started, or its back-end is
 *          away), -EALREADY (it is being started), or what request.h says: it counts as stopped
 *          then.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_stop_device(vhushmem_frontend *frontend, uint16_t *bases,
                                               unsigned room, GError **errp);

/**
 * The same without waiting: the reply's payload is an array of the bases, uint16_t each. Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_stop_device_async(vhushmem_frontend *frontend,
                                                     vhushmem_reply_fn fn, void *user_data,
                                                     GDestroyNotify destroy, GError **errp);

/**
 * Have the back-end serve a queue of the running device, or not (SET_VRING_ENABLE): for drivers
 * that use more queues or fewer as they go. start_device enables all; a back-end that comes back is
 * told the same again.
 *
 * @returns 0, or -ENOTCONN (the device was not started, or its back-end is away), -EINVAL (it was
 *          started without this queue),
 *          -EOPNOTSUPP (the back-end has no protocol features: its queues are always enabled), or
 *                      what request.h says.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_enable_queue(vhushmem_frontend *frontend, unsigned queue,
                                                bool enabled, GError **errp);

/** The same without waiting: the reply tells how it ended, and nothing else. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_enable_queue_async(vhushmem_frontend *frontend, unsigned queue,
                                                      bool enabled, vhushmem_reply_fn fn,
                                                      void *user_data, GDestroyNotify destroy,
                                                      GError **errp);

/** True from a start that succeeded until stop, reset or the end of the connection. Since: 0.1 */
VHUSHMEM_API bool vhushmem_frontend_is_started(vhushmem_frontend *frontend);

G_END_DECLS

#endif
