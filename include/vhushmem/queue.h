/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_QUEUE_H
#define VHUSHMEM_QUEUE_H

/**
 * @file
 * Functions that run a device: guest memory, virtqueues, start and stop. The messages go in the
 * order of QEMU's generic vhost-user device.
 *
 * Thread rule: that of frontend.h, one thread at a time for one front-end. request.h describes the
 * two forms of start and stop, and the errors that every request may return.
 */

#include <vhushmem/base.h>
#include <vhushmem/mapping.h>
#include <vhushmem/region.h>
#include <vhushmem/request.h>

G_BEGIN_DECLS

/**
 * A range of guest memory that the back-end shares. Set struct_size to
 * sizeof(vhushmem_guest_memory), in each element of an array.
 */
typedef struct vhushmem_guest_memory {
    uint32_t struct_size;
    int32_t fd;          /**< the file that the memory is mapped from; duplicated */
    uint64_t guest_addr; /**< its guest address */
    uint64_t size;       /**< bytes, not 0 */
    /**
     * Its address in this process. The addresses of queues refer to it. The library sends it to the
     * back-end and never touches the memory.
     */
    void *host;
    uint64_t fd_offset; /**< where it begins in the file */
} vhushmem_guest_memory;

/**
 * Set the guest's memory: all of it, each time. If the device runs, its back-end gets the changes
 * at once; otherwise it gets all memory at the start of the device. If the back-end agreed to
 * CONFIGURE_MEM_SLOTS, the front-end adds and removes the ranges one by one, up to the back-end's
 * number of slots. Otherwise it sends them as one table of at most 8.
 *
 * Do not pass mappings of shared memory regions: vhushmem_frontend_share_mapping adds those. Do not
 * call the function while an asynchronous start or stop is under way.
 *
 * Each range must be whole pages of a file that is open for reading and writing, and must begin
 * inside the file, because a back-end maps it. A back-end that touches pages which the file lacks
 * gets SIGBUS, so the file must have them all by then. If the descriptor is not a regular file (but
 * a device), the function maps it once to see whether it can be mapped.
 *
 * Before the start, and while a lost back-end may come back, the front-end keeps the ranges for the
 * next back-end, and the result is 0.
 *
 * @param ranges  `count` ranges, which must not overlap in the guest.
 * @returns 0, or -EINVAL (struct_size; a range is empty, is not whole pages, wraps around, overlaps
 *          another or begins beyond its file; the descriptor cannot be mapped), -EACCES (the
 *          descriptor is not open for reading and writing), -ENOSPC (more ranges than the back-end
 *          has slots for), -EALREADY (an earlier change is still under way, or the device is being
 *          started), -ENOTCONN (the connection is over), -EBADF, -EMFILE, or what request.h says.
 *          After a failure the back-end may know a part; the next call sends the rest. If the
 *          failure ended the connection and reconnect_ms is set, the next back-end gets the new
 *          ranges.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_memory(vhushmem_frontend *frontend,
                                              const vhushmem_guest_memory *ranges, unsigned count,
                                              GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_memory_async(vhushmem_frontend *frontend,
                                                    const vhushmem_guest_memory *ranges,
                                                    unsigned count, vhushmem_reply_fn fn,
                                                    void *user_data, GDestroyNotify destroy,
                                                    GError **errp);

/**
 * Share a mapping of another device with this front-end's back-end, as one more range of guest
 * memory. The two devices then have a buffer in common, which the guest may pass from one to the
 * other by its address. The range takes one of the back-end's slots.
 *
 * The range stays shared until vhushmem_frontend_unshare_mapping, also when
 * vhushmem_frontend_set_memory is called or the device is started again. If the mapping is undone,
 * the front-end removes its range the next time it tells the back-end about memory. Until then the
 * back-end has the file's pages, and nothing else of this process.
 *
 * @param mapping     a live, writable mapping of a region with VHUSHMEM_REGION_KEEP_FDS
 *                    (vhushmem_region_find_mapping); the front-end keeps a reference to it and a
 *                    duplicate of its descriptor.
 * @param guest_addr  guest address of its first byte: the region's guest address plus shm_offset; a
 *                    multiple of the page size.
 * @returns 0, or -ENOENT (the mapping is not live), -EACCES (it is read-only, which guest memory
 *          cannot be), -EBADF (its region keeps no descriptors), -EEXIST (it is shared already), or
 *          what vhushmem_frontend_set_memory returns.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_share_mapping(vhushmem_frontend *frontend,
                                                 vhushmem_mapping *mapping, uint64_t guest_addr,
                                                 GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_share_mapping_async(vhushmem_frontend *frontend,
                                                       vhushmem_mapping *mapping,
                                                       uint64_t guest_addr, vhushmem_reply_fn fn,
                                                       void *user_data, GDestroyNotify destroy,
                                                       GError **errp);

/**
 * Take a shared mapping away from the back-end. Call this function before the mapping is undone, or
 * when the other front-end's event reports that it was undone.
 *
 * @returns 0, or -ENOENT (it is not shared), or what vhushmem_frontend_set_memory returns.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_unshare_mapping(vhushmem_frontend *frontend,
                                                   vhushmem_mapping *mapping, GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_unshare_mapping_async(vhushmem_frontend *frontend,
                                                         vhushmem_mapping *mapping,
                                                         vhushmem_reply_fn fn, void *user_data,
                                                         GDestroyNotify destroy, GError **errp);

/** A flag of vhushmem_frontend_share_region: leave out read-only mappings. */
#define VHUSHMEM_SHARE_WRITABLE_ONLY 1u

/**
 * Share each mapping of a region with the front-end's own back-end, as a separate range of guest
 * memory. A guest may then use a part of the region as the buffer of a request. (For example, a
 * program writes bytes out of a file that it has mapped with DAX.) Otherwise the back-end does not
 * know the region's addresses, and cannot serve such a request.
 *
 * From now on the front-end tells the back-end of each mapping with ADD_MEM_REG, and of its end
 * with REM_MEM_REG. This concerns the live mappings and all future ones, from any source. A mapping
 * that replaces another (VHUSHMEM_REGION_REPLACE) causes both messages. Dispatch sends them after
 * the answer to the request that made the change, and nothing waits for them: a request that a
 * guest offers between the answer and the message may fail. A device that is started, also after a
 * reconnection, learns of the mappings before its queues start. A stopped device learns of them
 * when it is started. A reset undoes the mappings, so the front-end removes their ranges. Sharing
 * ends with vhushmem_frontend_unshare_region, or when the connection is over for good.
 *
 * The front-end leaves these out:
 *
 *  - mappings that the back-end has no slot for, and those beyond 512 of a region, until there is
 *    room. Guest RAM comes first, and takes the slot of a shared mapping if no other is left;
 *  - pages that the file did not have when the range was announced;
 *  - a mapping that the back-end refused (a warning in the log says so), or whose file cannot be
 *    sent as described below. It is left out until its range is mapped again or the back-end
 *    connects again.
 *
 * A read-only mapping goes with a descriptor that is open only for reading, so that no request
 * writes to it. If the back-end sent a descriptor that is open for writing, the front-end opens the
 * file once more, through /proc/self/fd. It does so for files in memory and on local disks that
 * have no lease; it leaves out the others. Not every back-end accepts such memory:
 *
 *  - a back-end of this library does, once its device has mapped something read-only over the same
 *    connection. A request that would write there fails alone;
 *  - back-ends of libvhost-user and of rust-vmm map all memory for writing. The first counts a
 *    failure as a fault of its device, which stops. The second closes the connection. For them set
 *    VHUSHMEM_SHARE_WRITABLE_ONLY.
 *
 * Each shared mapping takes one of the back-end's slots. It takes no descriptor of this process,
 * except while a message waits to be sent.
 *
 * @param region      a region of this front-end's device with VHUSHMEM_REGION_KEEP_FDS; the
 *                    front-end keeps a reference while it is shared. For regions of other devices
 *                    use vhushmem_frontend_share_mapping.
 * @param guest_addr  guest address of the region's first byte; a multiple of the page size.
 * @param flags       0 or VHUSHMEM_SHARE_WRITABLE_ONLY.
 * @returns 0, or -ENOTCONN (the front-end is not ready yet, or its connection is over), -EINVAL
 *          (flags; the region is another device's; the address is no multiple of the page size, or
 *          the region wraps around or overlaps guest memory there), -EBADF (the region keeps no
 *          descriptors), -EOPNOTSUPP (the back-end did not agree to CONFIGURE_MEM_SLOTS), -EEXIST
 *          (it is shared already).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_share_region(vhushmem_frontend *frontend,
                                                vhushmem_region *region, uint64_t guest_addr,
                                                uint32_t flags, GError **errp);

/**
 * Stop sharing the mappings of a region. Dispatch tells the back-end. The back-end may still use
 * them until it has answered.
 *
 * @returns 0, or -ENOENT (it is not shared).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_unshare_region(vhushmem_frontend *frontend,
                                                  vhushmem_region *region, GError **errp);

/**
 * Count the mappings of a shared region that were announced to the back-end, with those whose
 * message is under way.
 *
 * @param left_out  receives how many other live mappings the region has; may be NULL.
 * @returns the number, or -ENOENT (the region is not shared), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int64_t vhushmem_frontend_shared_mappings(vhushmem_frontend *frontend,
                                                       vhushmem_region *region, uint64_t *left_out);

/**
 * A split virtqueue, as the driver has set it up. Set struct_size to sizeof(vhushmem_queue), in
 * each element of an array.
 */
typedef struct vhushmem_queue {
    uint32_t struct_size;
    /**
     * Entries: a power of two, at most 32768. 0: the driver has not set this queue up, and the
     * other fields are ignored.
     */
    uint16_t size;
    /** index of the available ring to continue from: 0, or what stop_device returned */
    uint16_t base;
    /**
     * Address of the descriptor table in this process. The library sends it to the back-end and
     * never touches the table.
     */
    void *desc;
    void *avail; /**< likewise the available ring */
    /**
     * likewise the used ring; after a reconnection the library reads its index, by process_vm_readv
     */
    void *used;
    int32_t kick_fd; /**< the eventfd that the driver's side signals; duplicated */
    /** the eventfd that the back-end signals; duplicated; -1: vhushmem_frontend_call_fd's */
    int32_t call_fd;
} vhushmem_queue;

/**
 * Start the device: send SET_FEATURES, guest memory, the queues, and the device status if STATUS
 * was agreed on. Then signal each kick eventfd once, so that a request that is already in a ring is
 * served. If a change of guest memory from before a stop or a reset is still under way, it ends
 * first.
 *
 * @param features  the virtio features that the driver has accepted; the function adds
 *                  VHOST_USER_F_PROTOCOL_FEATURES.
 * @param queues    the first `count` queues of the device. A queue of size 0 is left out, so any of
 *                  them can be started alone.
 * @param count     0 to num_queues of the options.
 * @returns 0, or -EALREADY (the device is started, is being started, or is being stopped for a
 *          reset), -ECANCELED (it was reset meanwhile), -EINVAL (features that the back-end does
 *          not offer, a queue, count), -EBADF, -EMFILE, -ENOSPC (memory, as for
 *          set_memory), -EOPNOTSUPP (the back-end does not accept the features: it took FEATURES_OK
 *          back), or what request.h says. After a failure the back-end may know a part.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_start_device(vhushmem_frontend *frontend, uint64_t features,
                                                const vhushmem_queue *queues, unsigned count,
                                                GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_start_device_async(vhushmem_frontend *frontend,
                                                      uint64_t features,
                                                      const vhushmem_queue *queues, unsigned count,
                                                      vhushmem_reply_fn fn, void *user_data,
                                                      GDestroyNotify destroy, GError **errp);

/**
 * Stop the device: disable the queues, and ask each where it stopped. Nothing is reset: the
 * device's state can be saved, its status stays, and mappings stay. vhushmem_frontend_reset and a
 * status of 0 undo them.
 *
 * @param bases  receives the base of each queue that was started (0 for one of size 0), `room` at
 *               the most; may be NULL.
 * @returns how many queues there were, or -ENOTCONN (the device was not started, or its back-end is
 *          away), -EALREADY (it is being started), or what request.h says. After an error of
 *          request.h the device counts as stopped.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_stop_device(vhushmem_frontend *frontend, uint16_t *bases,
                                               unsigned room, GError **errp);

/**
 * The same without waiting: the reply's payload is an array of the bases, uint16_t each. Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_stop_device_async(vhushmem_frontend *frontend,
                                                     vhushmem_reply_fn fn, void *user_data,
                                                     GDestroyNotify destroy, GError **errp);

/**
 * Enable or disable a queue of the running device (SET_VRING_ENABLE), for drivers that change the
 * number of queues at run time. start_device enables all queues. The front-end repeats the setting
 * to a back-end that comes back.
 *
 * @returns 0, or -ENOTCONN (the device was not started, or its back-end is away), -EINVAL (it was
 *          started without this queue), -EOPNOTSUPP (the back-end has no protocol features: its
 *          queues are always enabled), or what request.h says.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_enable_queue(vhushmem_frontend *frontend, unsigned queue,
                                                bool enabled, GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_enable_queue_async(vhushmem_frontend *frontend, unsigned queue,
                                                      bool enabled, vhushmem_reply_fn fn,
                                                      void *user_data, GDestroyNotify destroy,
                                                      GError **errp);

/**
 * Tell whether the device is started. @returns true from a successful start until a stop, a reset
 * or the end of the connection. Since: 0.9
 */
VHUSHMEM_API bool vhushmem_frontend_is_started(vhushmem_frontend *frontend);

G_END_DECLS

#endif
