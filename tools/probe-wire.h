/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_WIRE_H
#define VHUSHMEM_PROBE_WIRE_H

/**
 * @file
 * The wire: messages that pass through, their content, their durations, and captures of them.
 */

#include "probe.h"

#include <sys/types.h>
#include <sys/uio.h>

#define SET_BACKEND_REQ_FD 21
#define WIRE_HEADER 12
#define WIRE_MAX_FDS 8
/**
 * The most descriptors that the kernel lets a message have. If there are more than WIRE_MAX_FDS,
 * the receiver refuses them.
 */
#define WIRE_MAX_PASSED 253
/**
 * A longer message makes no sense to any peer. It is passed on, and nothing after it is decoded.
 */
#define WIRE_MAX_PAYLOAD (1 << 17)

/** A message that passes through. */
struct wire_message {
    bool from_backend, on_channel;
    bool is_late; /**< on a channel whose connection is over: it changes nothing */
    uint32_t request, flags, size;
    unsigned nfds; /**< the number of descriptors that are looked at */
    int fds[WIRE_MAX_FDS];
    const uint8_t *payload; /**< `size` bytes */
    gint64 time_us;         /**< of the monotonic clock */
};

/* ---- probe-socket.c: the path of a socket, or an abstract name after an @ ---- */

/** @returns a descriptor, or a negative errno. */
int socket_connect(const char *path);
/** The same for a listening socket. It replaces a socket file that no process listens at. */
int socket_listen(const char *path);
void socket_unlink(const char *path);

/* ---- probe-descriptors.c: descriptors that go with messages ---- */

/** The kind of a descriptor, now or when it was recorded. */
enum { FD_OTHER, FD_EVENTFD, FD_SOCKET, FD_MEMFD, FD_FILE, FD_PIPE, FD_KINDS };

/** Like sendmsg, with these descriptors. */
ssize_t send_with_fds(int socket, const struct iovec *iov, size_t count, const int *fds,
                      unsigned nfds, int flags);
/**
 * Like recvmsg. `fds` has room for WIRE_MAX_PASSED. lost: the kernel dropped descriptors, or there
 * was no room.
 */
ssize_t receive_with_fds(int socket, void *bytes, size_t size, int *fds, unsigned *nfds, bool *lost,
                         int flags);
/** Close a descriptor of a peer; never waits. */
void close_received(int fd);
bool is_stream_socket(int fd);
/** Find the kind of a descriptor; never waits. `size`: the bytes of a file, else 0. */
unsigned kind_of_fd(int fd, uint64_t *size);
const char *kind_name(unsigned kind);
/** Describe a descriptor: "memfd:NAME", "eventfd", "socket", "/a/file" (g_free). */
char *describe_fd(int fd);

/* ---- probe-relay.c: passes all messages on ---- */

/**
 * Pass everything between two sockets. The relay closes them. Call it only from the main loop.
 *
 * @param ended  called when the connection is over, before the sockets are closed.
 */
void relay_start(struct probe *probe, int front, int back, bool on_channel,
                 void (*ended)(struct probe *));
/**
 * For --dump-wire: connect to the back-end, or wait for it, and pass everything between it and
 * `front`.
 *
 * @returns 0 or a negative errno: there is no back-end, and probe_start is not called.
 */
int relay_begin_dump(struct probe *probe, const char *path, bool server, int front);

/* ---- probe-traffic.c: the messages that pass through ---- */

void traffic_begin(struct probe *probe, const struct probe_options *options, bool follows);
/** A message was received as a whole. It is passed on after this call. */
void traffic_message(struct probe *probe, const struct wire_message *message);
/** The connection is over. */
void traffic_ended(struct probe *probe);
/** A back-end channel is over: open requests on it get no answer any more. */
void traffic_channel_ended(struct probe *probe);
void traffic_print_summary(struct probe *probe);
void traffic_free(struct probe *probe);

/* ---- probe-filter.c: the messages that are shown ---- */

/** Take --only and --except. @returns a sentence (g_free), or NULL. */
char *filter_begin(const struct probe_options *options);
bool filter_wants(const char *name, bool on_channel);
void filter_end(void);
/** The next name of a request. @returns NULL at the end. Both begin as 0. */
const char *next_request_name(bool *on_channel, uint32_t *id);

/* ---- probe-follow.c: the mappings that pass through ---- */

void follow_request(struct probe *probe, const struct wire_message *message, int fd);
void follow_config(struct probe *probe, const struct wire_message *reply);
void follow_map(struct probe *probe, const VhostUserMMap *map, int fd, int32_t result);
void follow_unmap(struct probe *probe, const VhostUserMMap *map, int32_t result);

/* ---- probe-decode.c ---- */

/** Put the fields of the payload into the record. */
void decode_payload(struct record *record, const struct wire_message *message);
/** Whether a request of the front-end has a reply of its own. */
bool request_has_reply(const struct wire_message *message);

/* ---- probe-names.c ---- */

#define VIRTIO_ID_FS 26

/** Find a virtio device by name ("fs", "virtio-blk") or number. @returns 0: there is none. */
unsigned virtio_device_id(const char *name);
/**
 * @returns a constant such as "VERSION_1", or NULL. With the id of a device, also for that device's
 * own bits.
 */
const char *virtio_feature_name(unsigned device_id, unsigned bit);
/** Put the list protocol_features into the record: names. */
void record_protocol_features(struct record *record, const struct probe *probe, uint64_t features);
void record_virtio_features(struct record *record, const char *key, unsigned device_id,
                            uint64_t features);

/* ---- probe-capture.c: files for Wireshark ---- */

/** @returns NULL and sets errno if the file cannot be made. */
struct capture *capture_create(const char *path);
/** Add a message; capture NULL: do nothing. */
void capture_message(struct capture *capture, const struct wire_message *message);
/** @returns false: some of it could not be written. */
bool capture_close(struct capture *capture);

/** A message that was read from a capture. */
struct captured {
    struct wire_message message;
    uint8_t kinds[WIRE_MAX_FDS];
    uint64_t sizes[WIRE_MAX_FDS];
};

/**
 * @returns an array of struct captured with all messages (g_ptr_array_unref), or NULL: `error`
 * (g_free) has the reason.
 */
GPtrArray *capture_read(const char *path, char **error);
/**
 * Whether the payloads are the same, except for addresses, which differ from process to process.
 */
bool messages_are_alike(const struct wire_message *a, const struct wire_message *b);

/* ---- probe-chains.c: the driver's requests to a played device ---- */

char *chains_run_give(struct probe *probe, char **words, struct record *answer);
void chains_on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event,
                     const char *message, void *user_data);
/** Drop the requests of a queue, or (UINT_MAX) of all. */
void chains_drop(unsigned queue);

/* ---- the subcommands ---- */

int probe_proxy_run(struct probe *probe, const struct probe_options *options);
int probe_backend_run(struct probe *probe, const struct probe_options *options);
int probe_replay_run(struct probe *probe, const struct probe_options *options);

#endif
