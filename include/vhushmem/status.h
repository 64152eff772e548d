/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_STATUS_H
#define VHUSHMEM_STATUS_H

/**
 * @file
 * The state of front-ends, back-ends, channels, devices and regions as text: for a monitor command,
 * a log, a bug report.
 *
 * The JSON is one object without line breaks, in UTF-8. Numbers are decimal integers, up to 64
 * bits, as in QMP. A reader whose numbers are doubles (JavaScript) loses the last digits of those
 * above 2^53. In practice only sets of feature bits are so large, and names show each of those too.
 * Text from outside is escaped, with its control characters and with characters that a terminal
 * would take for them. Bytes of a path that are no UTF-8 show as U+FFFD. Later releases may add
 * keys; the keys below stay. The text contains no address of this process.
 *
 * A region:
 *     "shmid", "size"      id; bytes
 *     "strategy"           "window" or "slots"
 *     "holes"              "fault" or "zero"
 *     "populate", "huge_pages", "keeps_files"   the region's flags, true or false
 *     "fd_policy"          a list of "allow-beyond-end", "require-seal-shrink", "files-only"
 *     "quotas"             {"mappings": {"used", "limit"}, "bytes": {"used", "limit"}}: live
 *                          mappings, and their bytes in whole pages; limit null: the region has
 *                          none of its own
 *     "counters"           {"maps", "unmaps", "mapped_bytes", "unmapped_bytes"}: all maps and
 *                          unmaps since the beginning, in whole pages; a mapping that ended in a
 *                          reset or with its back-end counts as unmapped
 *     "mappings"           a list of {"shm_offset", "len", "fd_offset", "rw", "broken"}, by offset
 *                          (bytes; mapping.h describes them)
 *     "mappings_left_out"  how many more live mappings there are: those with the greatest offsets
 * The text of one region shows it at one moment.
 *
 * A device:
 *     "quotas", "counters" as above, of all its regions together, also of those that are gone
 *     "process"            {"mappings": {"used", "limit"}}: what all windows of the process use of
 *                          its budget (region.h), counted as the kernel counts
 *     "regions"            a list of regions, by id
 *
 * A front-end:
 *     "state"              "new", "listening", "handshake", "restoring" (it restores the state of a
 *                          back-end that came back), "ready", "away" (until the next attempt to
 *                          find the back-end again), or "disconnected" (for good)
 *     "reason"             why the last connection ended, a sentence; null: none has ended
 *     "waiting_for"        what has not come yet, a sentence, when listening, in the handshake and
 *                          when restoring; else null
 *     "socket_path"        null: it was made with a descriptor
 *     "server"             it listens there (true), or connects
 *     "reconnect_ms"       as in the options; null: never
 *     "connections"        how many were made
 *     "features"           virtio features that the back-end offers; 0 before they are known, like
 *                          the next three; while it is away, those of the last connection
 *     "protocol_features"  the bits that both sides agreed on, as they went over the wire
 *     "protocol_feature_names"     the same as a list of names (vhushmem_protocol_feature_name);
 *                                  the bit that means SHMEM is "SHMEM"
 *     "unknown_protocol_features"  those that have no name
 *     "shmem_bit", "queues", "max_queues"   the bit that means SHMEM; queues of the VMM; queues
 *                                           that the back-end can have
 *     "started"            the device runs
 *     "resetting"          a reset is under way
 *     "requests_waiting"   requests of the VMM that have no answer yet
 *     "shared_regions"     a list of {"shmid", "guest_addr", "mappings", "left_out"}, in the order
 *                          in which they were shared (vhushmem_frontend_share_region): how many
 *                          mappings were announced to the back-end, and how many other live ones
 *                          there are
 *     "channel"            {"state": "none" (not made yet, or gone with its connection), "open" or
 *                          "lost"; "reason": why it was lost, or null; "answers_unread": the
 *                          back-end does not read its answers, and is not served until it does;
 *                          "owes_answer": the front-end answers a request later, and reads nothing
 *                          until then}
 *     "requests"           {"map": {"served", "refused"}, "unmap": ..., "other": ...}: requests of
 *                          the back-end since the beginning
 *     "resets"             complete ones
 *     "device"             its device
 *
 * A back-end:
 *     "state"              "new", "listening", "connected", or "disconnected" (it had a connection,
 *                          and has neither another one nor a listener)
 *     "reason"             why the last connection ended, a sentence; null: none has ended
 *     "negotiated"         the device can ask for mappings
 *     "features"           virtio features that the front-end accepted; 0 before it did, like the
 *                          next three
 *     "protocol_features", "protocol_feature_names", "unknown_protocol_features"   as of a
 *                                                                                  front-end
 *     "shmem_bit", "device_status"   the bit that means SHMEM; the virtio device status
 *     "queues", "rings"    the answer to GET_QUEUE_NUM; queues that the device has
 *     "memory"             {"ranges", "bytes"}: guest memory that the front-end has announced
 *     "logging"            the back-end logs writes to guest memory for the front-end
 *     "tracks_inflight"    the back-end tracks chains that were taken and not given back, for the
 *                          next back-end
 *     "channel"            {"state": "none" or "open"; "requests_waiting": asynchronous maps and
 *                          unmaps that have no answer}
 *     "regions"            a list of {"shmid", "size", "mappings"}, by id: bytes; how many mappings
 *                          are live, as far as answers tell (vhushmem_backend_unmap_all)
 *     "started_queues"     a list of {"queue", "state", "size", "next_avail", "next_used", "held",
 *                          "in_guest_memory", "fault"}, by number: "running", "paused" (disabled,
 *                          or its kick cannot be waited for) or "broken"; entries; the next indices
 *                          of the available and the used ring; chains that the device has; false:
 *                          its rings' memory was taken away; what broke it, or null
 *
 * A channel without a front-end: "resetting", "channel", "requests", "resets", "device".
 */

#include <vhushmem/backend.h>
#include <vhushmem/base.h>
#include <vhushmem/channel.h>

G_BEGIN_DECLS

/** The number of mappings of each region that vhushmem_status_json lists. */
#define VHUSHMEM_STATUS_MAPPINGS UINT64_C(256)

/**
 * Describe a front-end as JSON, with VHUSHMEM_STATUS_MAPPINGS mappings of each region.
 *
 * @returns JSON, owned by the caller (g_free); NULL: frontend is NULL.
 * Thread rule: that of the front-end (frontend.h); inside its callbacks too.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_status_json(vhushmem_frontend *frontend) VHUSHMEM_CHECK_RESULT;

/**
 * The same with a number of mappings of your choice.
 *
 * @param max_mappings  the most mappings of each region to list; 0: only their number; UINT64_MAX:
 *                      all. The function copies their records (32 bytes each) while no map or unmap
 *                      of the device goes on, and makes the text, some 90 bytes each, after that.
 * @returns JSON, owned by the caller (g_free); NULL: frontend is NULL.
 * Thread rule: as vhushmem_status_json.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_frontend_status_json(vhushmem_frontend *frontend,
                                                 uint64_t max_mappings) VHUSHMEM_CHECK_RESULT;

/**
 * Describe a channel as JSON.
 *
 * @param max_mappings  as for vhushmem_frontend_status_json.
 * @returns JSON, owned by the caller (g_free); NULL: channel is NULL.
 * Thread rule: that of the channel (channel.h); inside its callbacks too.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_channel_status_json(vhushmem_channel *channel,
                                                uint64_t max_mappings) VHUSHMEM_CHECK_RESULT;

/**
 * Describe a back-end as JSON.
 *
 * @returns JSON, owned by the caller (g_free); NULL: backend is NULL.
 * Thread rule: that of the back-end (backend.h); inside its callbacks too.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_backend_status_json(vhushmem_backend *backend) VHUSHMEM_CHECK_RESULT;

/**
 * Describe a device as JSON: the mappings in its regions, its quotas, its counters.
 *
 * @param max_mappings  as for vhushmem_frontend_status_json.
 * @returns JSON, owned by the caller (g_free); NULL: device is NULL.
 * Thread rule: any thread. If another thread maps or unmaps during the call, only the regions that
 * are read later show it.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_device_status_json(vhushmem_device *device,
                                               uint64_t max_mappings) VHUSHMEM_CHECK_RESULT;

/**
 * Describe a region as JSON.
 *
 * @param max_mappings  as for vhushmem_frontend_status_json.
 * @returns JSON, owned by the caller (g_free); NULL: region is NULL.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_region_status_json(vhushmem_region *region,
                                               uint64_t max_mappings) VHUSHMEM_CHECK_RESULT;

/**
 * List protocol features by name, each with what it does, in the order of their bits:
 * "VHOST_USER_PROTOCOL_F_SHMEM: the back-end maps files into shared memory regions". The text after
 * the colon is for people and may change.
 *
 * Bits have today's meaning. If a front-end's shmem_bit is 20 or 21, first move that bit to today's
 * place of SHMEM:
 *
 *     if (features >> shmem_bit & 1) {
 *         features &= ~(UINT64_C(1) << shmem_bit);
 *         features |= UINT64_C(1) << VHOST_USER_PROTOCOL_F_SHMEM;
 *     }
 *
 * (vhushmem_status_json does this by itself.)
 *
 * @param features  protocol features, as they are offered or agreed on
 *                  (vhushmem_frontend_protocol_features).
 * @param unknown   receives the bits that have no name, 0 if there are none; may be NULL.
 * @returns a list of strings that ends with NULL (and may be empty), owned by the caller
 *          (g_strfreev).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API char **vhushmem_protocol_features_to_strings(uint64_t features,
                                                          uint64_t *unknown) VHUSHMEM_CHECK_RESULT;

/**
 * The same as JSON, in the form and order of QEMU's answer to x-query-virtio-status, under
 * "protocol-features" of "vhost-dev": {"protocols":["VHOST_USER_PROTOCOL_F_SHMEM: ...", ...,
 * "VHOST_USER_PROTOCOL_F_MQ: ..."],"unknown-protocols":N}. The highest bit comes first. If there
 * are no unknown bits, the second key is left out.
 *
 * The names are the specification's, so they are QEMU's. The text after the colon is this library's
 * own. QEMU 11.1 has no names for XEN_MMAP, GET_VRING_BASE_INFLIGHT, GPA_ADDRESSES and
 * GET_VRING_BASE_SKIP_DRAIN (bits 17, 20, 21, 23): there they are in the number.
 *
 * @param features  as for vhushmem_protocol_features_to_strings.
 * @returns JSON, owned by the caller (g_free).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API char *vhushmem_protocol_features_to_json(uint64_t features) VHUSHMEM_CHECK_RESULT;

G_END_DECLS

#endif
