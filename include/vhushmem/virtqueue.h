/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTQUEUE_H
#define VHUSHMEM_VIRTQUEUE_H

/**
 * @file
 * The device side of virtqueues: take what the driver has put in, give it back, tell the driver;
 * and guest memory by address.
 *
 * The front-end sets queues up, starts and stops them; `queue` of vhushmem_backend_handlers tells.
 * When a queue was kicked, take chains until there are no more, and notify once at the end:
 *
 *     while ((chain = vhushmem_backend_pop(backend, queue, NULL)) != NULL) {
 *         ... vhushmem_chain_read(chain, ...); vhushmem_chain_write(chain, ...);
 *         if (vhushmem_backend_push(backend, chain, written, NULL) < 0) vhushmem_chain_free(chain);
 *     }
 *     vhushmem_backend_notify(backend, queue, NULL);
 *
 * Or in bursts, which cost less for each: vhushmem_backend_pop_many, and
 * vhushmem_backend_push_many, which tells the driver too.
 *
 * Chains may be held as long as the work takes, and given back in any order. Queues are split
 * rings, with indirect descriptors (feature bit 28) and event indices (29) where the options offer
 * them. Packed rings are not served: vhushmem_backend_new refuses to offer them (bit 34), so no
 * front-end can ask for one.
 *
 * A front-end may give no descriptor for kicks (the "no descriptor" bit of SET_VRING_KICK), and
 * agree on no INBAND_NOTIFICATIONS. Then the back-end looks at the queue by itself in dispatch, and
 * tells KICKED when the driver has put something in: 1 ms after the last find, and up to 16 ms
 * apart while nothing comes. The descriptor of vhushmem_backend_get_fd and the GSource tell when.
 * Without a descriptor for calls the driver looks by itself, and vhushmem_backend_notify returns 0.
 *
 * What a driver writes is not to be believed. The library checks what it needs itself: addresses,
 * lengths, loops. A queue whose driver did what can't be is BROKEN: nothing of it is touched until
 * the front-end has stopped it and set it up again. A chain with a buffer that lies where the
 * front-end has told of no memory, or that is to be written where memory may only be read, can be
 * the driver's right: a guest may use what the device has mapped into a shared memory region as a
 * buffer. Such a chain goes back to the driver with no bytes written, and vhushmem_backend_pop
 * takes the next one. A front-end that tells of its mappings (vhushmem_frontend_share_mapping in
 * queue.h) has these buffers served. A buffer that goes over the edge of what was told, or begins
 * right behind it, breaks the queue. What stands in a chain's memory is the device's to check; the
 * guest may change it at any moment, so copy it first and look at the copy.
 *
 * Thread rule: that of backend.h, one thread at a time for one back-end. The vhushmem_chain_*
 * functions may be called by another thread meanwhile, one at a time for one chain: so workers fill
 * a chain, and the back-end's thread gives it back.
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
 *          vhushmem_chain_free); NULL without an error: there is none now (nor while the front-end
 *          has taken the rings' memory away, or the chains that are held come to more than
 *          1,048,576 pieces, nor when 65,536 descriptors of chains that can't be served were
 *          followed in this call: KICKED tells when there may be one again); NULL with an error:
 *          EINVAL (the device has no such queue), ENOTCONN (the queue does not run), EPROTO (it is
 *          broken; when that was found just now, the event BROKEN came first), EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_chain *vhushmem_backend_pop(vhushmem_backend *backend, unsigned queue,
                                                  GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Give a chain back to the driver. It is told by vhushmem_backend_notify, which may come later, for
 * many.
 *
 * A queue that is stopped lets chains be given back during the event STOPPED, and no longer.
 *
 * @param chain    consumed on success; on failure it stays the caller's (vhushmem_chain_free).
 * @param written  how many bytes, from the beginning of what can be written, the device has
 *                 written.
 * @returns 0, or -EINVAL (more than can be written), -ESTALE (the queue was stopped since the chain
 *          was taken), -EPROTO (it is broken), -EAGAIN (the front-end has taken the rings' memory
 *          away for now: KICKED tells when it is back), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_push(vhushmem_backend *backend, vhushmem_chain *chain,
                                       uint32_t written, GError **errp);

/**
 * Take several chains of a queue at once, up to `max`. The driver's index is asked to be told of
 * once, behind them all.
 *
 * @param chains  receives the chains, in their order, each owned by the caller as that of
 *                vhushmem_backend_pop.
 * @param max     how many there is room for.
 * @returns how many were taken; 0: there is none now; or what vhushmem_backend_pop sets, negative.
 *          A queue that breaks behind a chain that was taken tells so by the event BROKEN, and with
 *          the next call.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_pop_many(vhushmem_backend *backend, unsigned queue,
                                           vhushmem_chain **chains, size_t max, GError **errp);

/**
 * Give several chains of one queue back at once, and tell the driver as vhushmem_backend_notify
 * does: it finds all of them with one look, and is signalled once at the most. (Where requests in
 * flight are tracked, it finds one after the other.)
 *
 * @param chains   `count` chains, in the order in which the driver is to find them. Those that were
 *                 given back are consumed.
 * @param written  `count` numbers: how many bytes of each the device has written.
 * @returns how many were given back, the first ones. Fewer than `count`: the next one could not be;
 *          a call with the rest tells why. If the first could not be: -EINVAL (more than can be
 *          written; the device has no such queue), -ESTALE (the queue was stopped since the chain
 *          was taken, or it is another queue's), -ENOTCONN (the queue is not started), -EPROTO,
 *          -EAGAIN as vhushmem_backend_push, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_push_many(vhushmem_backend *backend, unsigned queue,
                                            vhushmem_chain *const *chains, const uint32_t *written,
                                            size_t count, GError **errp);

/**
 * Put the chain that was taken last back where it was, to be taken again: what a device does that
 * can't serve it now.
 *
 * @param chain  consumed on success.
 * @returns 0, or -EINVAL (it is not the one that was taken last), -ESTALE, -EPROTO (the queue is
 *          broken), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_put_back(vhushmem_backend *backend, vhushmem_chain *chain,
                                           GError **errp);

/**
 * Tell the driver that chains were given back, if it wants to know: its eventfd is signalled. Where
 * the front-end has not given one yet, that is made up for when it does. With INBAND_NOTIFICATIONS
 * and no eventfd, a message tells it. If the front-end does not read its messages, this call does
 * not wait: vhushmem_backend_dispatch tells the driver later. Should the front-end still not read
 * after answer_timeout_ms, the channel is lost.
 *
 * @returns 1: it was told; 0: it does not want to know, nothing was given back, or it is told
 *          later; or -EINVAL (the device has no such queue),
 *          -ENOTCONN (the queue is not started), -EPROTO (it is broken), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_notify(vhushmem_backend *backend, unsigned queue, GError **errp);

/**
 * Say whether the driver is to kick the queue, as it is from the start. A device that polls says
 * no; the driver need not heed it.
 *
 * @returns 1: something is there to be taken already, for which no kick may come; 0; or what
 *          vhushmem_backend_pop sets.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_set_kicks(vhushmem_backend *backend, unsigned queue, bool wanted,
                                            GError **errp);

/**
 * The device found that what the driver wants makes no sense: the queue is broken, the event BROKEN
 * comes, the device status asks for a reset (DEVICE_NEEDS_RESET), and the front-end's error eventfd
 * is signalled.
 *
 * @returns 0, or what vhushmem_backend_pop sets.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_break_queue(vhushmem_backend *backend, unsigned queue,
                                              GError **errp);

/** True while chains can be taken: the queue is started, enabled and not broken. Since: 0.1 */
VHUSHMEM_API bool vhushmem_backend_queue_is_running(vhushmem_backend *backend, unsigned queue);

/* ---- chains ---- */

/** The index of the chain's first descriptor: the driver's name for it. 0 for NULL. Since: 0.1 */
VHUSHMEM_API uint16_t vhushmem_chain_head(vhushmem_chain *chain);

/** Bytes that the driver has written for the device to read. 0 for NULL. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_chain_readable_size(vhushmem_chain *chain);

/** Bytes that the device may write. 0 for NULL. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_chain_writable_size(vhushmem_chain *chain);

/**
 * Where this process has what the driver has written, in pieces: for writev, say. The guest may
 * change it meanwhile.
 *
 * @param count  receives how many pieces there are; it may be 0.
 * @returns the pieces; good until the chain is given back or freed. NULL: chain or count is.
 * Since: 0.1
 */
VHUSHMEM_API const struct iovec *vhushmem_chain_readable(vhushmem_chain *chain, size_t *count);

/** The same for what the device may write: for readv, say. Since: 0.1 */
VHUSHMEM_API const struct iovec *vhushmem_chain_writable(vhushmem_chain *chain, size_t *count);

/**
 * Where this process has a part of a chain, in pieces: so preadv and pwritev go straight into guest
 * memory, behind a header of the request.
 *
 * @param writable  true: of what the device may write; false: of what the driver has written.
 * @param offset    bytes from the beginning of that on.
 * @param len       bytes at the most; UINT64_MAX: up to the end.
 * @param iov       receives the pieces, none of them empty; good until the chain is given back or
 *                  freed.
 * @param max       how many there is room for. Where more are needed, these hold less than `len`
 *                  bytes: use them, and ask again behind them.
 * @returns how many pieces were filled in. 0 when a pointer is NULL, or the part begins at the end
 *          or behind it.
 * Since: 0.1
 */
VHUSHMEM_API size_t vhushmem_chain_iovec(vhushmem_chain *chain, bool writable, uint64_t offset,
                                         uint64_t len, struct iovec *iov, size_t max);

/**
 * Copy what the driver has written, from `offset` on.
 *
 * @param buf  receives at most len bytes.
 * @returns how many bytes there were, less than len when there are no more. 0 when a pointer is
 *          NULL.
 * Since: 0.1
 */
VHUSHMEM_API size_t vhushmem_chain_read(vhushmem_chain *chain, uint64_t offset, void *buf,
                                        size_t len);

/**
 * Copy to where the device may write, from `offset` on. @returns for how many bytes there was room.
 * Since: 0.1
 */
VHUSHMEM_API size_t vhushmem_chain_write(vhushmem_chain *chain, uint64_t offset, const void *buf,
                                         size_t len);

/**
 * Let go of a chain without giving it back. The driver never gets it then, unless requests in
 * flight are kept book of (INFLIGHT_SHMFD): the next back-end takes it again. Where
 * vhushmem_backend_pop gave nothing because too much was held, no KICKED tells of the room that
 * this makes.
 *
 * Since: 0.1
 */
VHUSHMEM_API void vhushmem_chain_free(vhushmem_chain *chain);

/* ---- guest memory ---- */

/**
 * Where this process has a range of guest memory, as the front-end has told of it.
 *
 * @param guest_addr  where the guest has it.
 * @param len         bytes.
 * @returns its address, or NULL: it is not all in one range of guest memory, or may only be read
 *          (the front-end may tell of a mapping that the device asked for read-only; chains have
 *          it). Good until the back-end is dispatched, or asks something of its front-end
 *          (vhushmem_backend_map), since the front-end may take memory away then. Whoever needs
 *          memory for longer has it by the chain.
 * Since: 0.1
 */
VHUSHMEM_API void *vhushmem_backend_guest_memory(vhushmem_backend *backend, uint64_t guest_addr,
                                                 uint64_t len);

/** The same for an address that the front-end's own process has it at. Since: 0.1 */
VHUSHMEM_API void *vhushmem_backend_user_memory(vhushmem_backend *backend, uint64_t user_addr,
                                                uint64_t len);

/**
 * Say that the device has written to guest memory by itself, by an address of
 * vhushmem_backend_guest_memory. While the front-end wants to know what is written (a migration),
 * its log has it; else this does nothing. What is written to chains is noted when they are given
 * back.
 *
 * @param guest_addr  where the guest has it.
 * @param len         bytes.
 * Since: 0.1
 */
VHUSHMEM_API void vhushmem_backend_log_write(vhushmem_backend *backend, uint64_t guest_addr,
                                             uint64_t len);

/* g_autoptr(vhushmem_chain) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_chain, vhushmem_chain_free)

G_END_DECLS

#endif
