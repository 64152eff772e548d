/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTQUEUE_H
#define VHUSHMEM_VIRTQUEUE_H

/**
 * @file
 * The device's side of virtqueues: take chains of the driver, give them back, and notify the
 * driver. Functions at the end find guest memory by its address.
 *
 * The front-end sets queues up, starts and stops them; `queue` of vhushmem_backend_handlers reports
 * that. When a queue was kicked, take chains until there are no more, and notify once at the end:
 *
 *     while ((chain = vhushmem_backend_pop(backend, queue, NULL)) != NULL) {
 *         ... vhushmem_chain_read(chain, ...); vhushmem_chain_write(chain, ...);
 *         if (vhushmem_backend_push(backend, chain, written, NULL) < 0) vhushmem_chain_free(chain);
 *     }
 *     vhushmem_backend_notify(backend, queue, NULL);
 *
 * Bursts cost less for each chain: vhushmem_backend_pop_many, and vhushmem_backend_push_many, which
 * also notifies the driver.
 *
 * A device may hold chains as long as the work takes, and give them back in any order. Queues are
 * split rings, with indirect descriptors (feature bit 28) and event indices (29) if the options
 * offer them. The library does not support packed rings: vhushmem_backend_new refuses to offer them
 * (bit 34), so no front-end can ask for one.
 *
 * A front-end may give no descriptor for kicks (the "no descriptor" bit of SET_VRING_KICK) without
 * agreeing on INBAND_NOTIFICATIONS. Then the back-end polls the queue in dispatch, and reports
 * KICKED when the driver has put something in. It looks again 1 ms after the last find, and up to
 * 16 ms apart while nothing comes. The descriptor of vhushmem_backend_get_fd and the GSource become
 * ready in time. If there is no descriptor for calls, the driver polls, and vhushmem_backend_notify
 * returns 0.
 *
 * Nothing a driver writes is trusted. The library checks addresses, lengths and loops. An
 * impossible value breaks the queue: the event BROKEN comes, and the library ignores the queue
 * until the front-end has stopped it and set it up again. The device must check the contents of a
 * chain's memory. The guest may change them at any moment, so copy them first and look at the copy.
 *
 * A driver may rightly use a buffer that the back-end cannot reach. Such a buffer lies where the
 * front-end has announced no memory, or the device is to write to it and may only read the memory
 * there. A guest does this when it uses what the device has mapped into a shared memory region as a
 * buffer. The library returns such a chain to the driver with no bytes written, and
 * vhushmem_backend_pop takes the next one. If the front-end announces its mappings
 * (vhushmem_frontend_share_mapping in queue.h), the back-end can serve these buffers. A buffer that
 * crosses the edge of known memory, or begins right behind it, breaks the queue.
 *
 * Thread rule: that of backend.h, one thread at a time for one back-end. Another thread may call
 * the vhushmem_chain_* functions meanwhile, one at a time for one chain. So workers fill a chain,
 * and the back-end's thread gives it back.
 */

#include <sys/uio.h>

#include <vhushmem/backend.h>
#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * Take the next chain of a queue.
 *
 * @param queue  0 to num_rings - 1 (options of the back-end).
 * @returns the chain, owned by the caller (vhushmem_backend_push, _put_back or
 *          vhushmem_chain_free); NULL without an error: there is none now; NULL with an error:
 *          EINVAL (the device has no such queue), ENOTCONN (the queue does not run), EPROTO (it is
 *          broken; if this call found that, the event BROKEN came first), EFAULT. NULL without an
 *          error also comes while the front-end has taken the rings' memory away, while the chains
 *          that are held have more than 1,048,576 pieces, and after this call has followed 65,536
 *          descriptors of chains that cannot be served. KICKED reports when there may be a chain
 *          again.
 * Since: 0.9
 */
VHUSHMEM_API vhushmem_chain *vhushmem_backend_pop(vhushmem_backend *backend, unsigned queue,
                                                  GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Give a chain back to the driver. vhushmem_backend_notify tells the driver, and may come later,
 * for many chains.
 *
 * If a queue is stopped, its chains can be given back during the event STOPPED, and not after it.
 *
 * @param chain    consumed on success; on failure it stays the caller's (vhushmem_chain_free).
 * @param written  how many bytes the device has written, from the beginning of the writable memory.
 * @returns 0, or -EINVAL (more than can be written), -ESTALE (the queue was stopped since the chain
 *          was taken), -EPROTO (it is broken), -EAGAIN (the front-end has taken the rings' memory
 *          away for now: KICKED tells when it is back), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_push(vhushmem_backend *backend, vhushmem_chain *chain,
                                       uint32_t written, GError **errp);

/**
 * Take several chains of a queue at once, up to `max`. The library asks the driver for the next
 * kick once, behind the last chain.
 *
 * @param chains  receives the chains in their order, each owned by the caller like that of
 *                vhushmem_backend_pop.
 * @param max     how many chains there is room for.
 * @returns how many were taken; 0: there is none now; or an error of vhushmem_backend_pop,
 *          negative. If the queue breaks behind a chain that was taken, the event BROKEN and the
 *          next call report it.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_pop_many(vhushmem_backend *backend, unsigned queue,
                                           vhushmem_chain **chains, size_t max,
                                           GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Give several chains of one queue back at once, and notify the driver as vhushmem_backend_notify
 * does. The driver finds all of them with one look, and gets one signal at the most. (If in-flight
 * tracking is on, it finds one after the other.)
 *
 * @param chains   `count` chains, in the order in which the driver is to find them. Those that were
 *                 given back are consumed.
 * @param written  `count` numbers: how many bytes of each the device has written.
 * @returns how many were given back, from the first on. If fewer than `count`, the next one could
 *          not be given back; call again with the rest to learn why. If the first could not
 *          be: -EINVAL (more than can be written; the device has no such queue), -ESTALE (the queue
 *          was stopped since the chain was taken, or the chain is another queue's), -ENOTCONN (the
 *          queue is not started), -EPROTO, -EAGAIN as vhushmem_backend_push, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_push_many(vhushmem_backend *backend, unsigned queue,
                                            vhushmem_chain *const *chains, const uint32_t *written,
                                            size_t count, GError **errp);

/**
 * Put the chain that was taken last back into the queue, to be taken again. For a device that
 * cannot serve the chain now.
 *
 * @param chain  consumed on success.
 * @returns 0, or -EINVAL (it is not the one that was taken last), -ESTALE, -EPROTO (the queue is
 *          broken), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_put_back(vhushmem_backend *backend, vhushmem_chain *chain,
                                           GError **errp);

/**
 * Notify the driver of chains that were given back, if it wants to know: the library signals its
 * eventfd. If the front-end has not given an eventfd yet, the library signals it when it gets one.
 * With INBAND_NOTIFICATIONS and no eventfd, it sends a message. If the front-end does not read its
 * messages, this call does not wait: vhushmem_backend_dispatch notifies the driver later. If the
 * front-end still does not read after answer_timeout_ms, the channel is lost.
 *
 * @returns 1: the driver was notified; 0: it does not want to know, nothing was given back, or it
 *          is notified later; or -EINVAL (the device has no such queue), -ENOTCONN (the queue is
 *          not started), -EPROTO (it is broken), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_notify(vhushmem_backend *backend, unsigned queue, GError **errp);

/**
 * Say whether the driver should kick the queue; at the start it should. A device that polls turns
 * kicks off. The driver may kick all the same.
 *
 * @returns 1: chains are there already, for which no kick may come; 0: there are none; or an error
 *          of vhushmem_backend_pop, negative.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_set_kicks(vhushmem_backend *backend, unsigned queue, bool wanted,
                                            GError **errp);

/**
 * Break a queue, because the device found that a request of the driver makes no sense. The event
 * BROKEN comes, the device status asks for a reset (DEVICE_NEEDS_RESET), and the library signals
 * the front-end's error eventfd.
 *
 * @returns 0, or an error of vhushmem_backend_pop, negative.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_break_queue(vhushmem_backend *backend, unsigned queue,
                                              GError **errp);

/** Tell whether chains can be taken: the queue is started, enabled and not broken. Since: 0.9 */
VHUSHMEM_API bool vhushmem_backend_queue_is_running(vhushmem_backend *backend, unsigned queue);

/* ---- chains ---- */

/**
 * Return the index of the chain's first descriptor: the driver's name for the chain. 0 for NULL.
 * Since: 0.9
 */
VHUSHMEM_API uint16_t vhushmem_chain_head(vhushmem_chain *chain);

/** Count the bytes that the driver has written for the device to read. 0 for NULL. Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_chain_readable_size(vhushmem_chain *chain);

/** Count the bytes that the device may write. 0 for NULL. Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_chain_writable_size(vhushmem_chain *chain);

/**
 * Return the bytes that the driver has written, as pieces of this process's memory, for example for
 * writev. The guest may change them meanwhile.
 *
 * @param count  receives how many pieces there are; it may be 0.
 * @returns the pieces; valid until the chain is given back or freed. NULL: chain or count is.
 * Since: 0.9
 */
VHUSHMEM_API const struct iovec *vhushmem_chain_readable(vhushmem_chain *chain, size_t *count);

/** The same for the bytes that the device may write, for example for readv. Since: 0.9 */
VHUSHMEM_API const struct iovec *vhushmem_chain_writable(vhushmem_chain *chain, size_t *count);

/**
 * Return a part of a chain, as pieces of this process's memory. So preadv and pwritev can work on
 * guest memory itself, after a header of the request.
 *
 * @param writable  true: the part is for the device to write; false: the driver has written it.
 * @param offset    bytes from the beginning of these bytes.
 * @param len       bytes at the most; UINT64_MAX: up to the end.
 * @param iov       receives the pieces, none of them empty; valid until the chain is given back or
 *                  freed.
 * @param max       how many pieces there is room for. If more are needed, these hold less than
 *                  `len` bytes: use them, and ask again for the rest.
 * @returns how many pieces were filled in. 0 when a pointer is NULL, or the part begins at the end
 *          or after it.
 * Since: 0.9
 */
VHUSHMEM_API size_t vhushmem_chain_iovec(vhushmem_chain *chain, bool writable, uint64_t offset,
                                         uint64_t len, struct iovec *iov, size_t max);

/**
 * Copy the bytes that the driver has written, from `offset` on.
 *
 * @param buf  receives at most len bytes.
 * @returns how many bytes were copied: less than len when there are no more. 0 when a pointer is
 *          NULL.
 * Since: 0.9
 */
VHUSHMEM_API size_t vhushmem_chain_read(vhushmem_chain *chain, uint64_t offset, void *buf,
                                        size_t len);

/**
 * Copy into the memory that the device may write, from `offset` on. @returns how many bytes had
 * room. Since: 0.9
 */
VHUSHMEM_API size_t vhushmem_chain_write(vhushmem_chain *chain, uint64_t offset, const void *buf,
                                         size_t len);

/**
 * Free a chain without giving it back. The driver never gets it back then. But if in-flight
 * tracking is on (INFLIGHT_SHMFD), the next back-end takes it again. If vhushmem_backend_pop gave
 * nothing because too much was held, no event KICKED reports the room that this makes.
 *
 * Since: 0.9
 */
VHUSHMEM_API void vhushmem_chain_free(vhushmem_chain *chain);

/* ---- guest memory ---- */

/**
 * Return the address of a range of guest memory in this process.
 *
 * The address is valid until the back-end is dispatched or sends a request to its front-end
 * (vhushmem_backend_map), because the front-end may take memory away then. If a device needs memory
 * for longer, it uses the memory of a chain.
 *
 * @param guest_addr  guest address of its first byte.
 * @param len         bytes.
 * @returns the address; NULL: the range is not all in one range of guest memory, or may only be
 *          read. (The front-end may announce a mapping that the device asked for read-only; only
 *          chains can use it.)
 * Since: 0.9
 */
VHUSHMEM_API void *vhushmem_backend_guest_memory(vhushmem_backend *backend, uint64_t guest_addr,
                                                 uint64_t len);

/** The same for an address in the front-end's own process. Since: 0.9 */
VHUSHMEM_API void *vhushmem_backend_user_memory(vhushmem_backend *backend, uint64_t user_addr,
                                                uint64_t len);

/**
 * Log a write that the device itself made to guest memory, by an address of
 * vhushmem_backend_guest_memory. If the front-end wants to know what is written (a migration), the
 * function marks the pages in its log; otherwise it does nothing. Writes to chains are logged when
 * the chains are given back.
 *
 * @param guest_addr  guest address of the first byte.
 * @param len         bytes.
 * Since: 0.9
 */
VHUSHMEM_API void vhushmem_backend_log_write(vhushmem_backend *backend, uint64_t guest_addr,
                                             uint64_t len);

/* g_autoptr(vhushmem_chain) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_chain, vhushmem_chain_free)

G_END_DECLS

#endif
