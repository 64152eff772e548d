/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * The subcommand replay: plays one side of a capture. It sends that side's messages in order, and compares the other side's
 * messages with the recorded ones. It makes new descriptors of the same kinds: a capture has no content of memory or files.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe-wire.h"

#define PATIENCE_MS 10000
/* The longest wait before the rest of the program has its turn. */
#define SLICE_MS 50
#define MAX_KEPT 64

struct replay {
    struct probe *probe;
    bool plays_backend;
    int sockets[2]; /* main, channel; -1: there is none */
    uint64_t sent, compared, differences;
    int kept[MAX_KEPT]; /* the other ends of pipes and sockets, which live as long as the replay */
    unsigned nkept;
    uint8_t bytes[WIRE_HEADER + WIRE_MAX_PAYLOAD];
};

/** A message of the other side. Its payload is in the replay's `bytes`. */
struct received {
    struct wire_message message;
    unsigned nfds;
    int fds[WIRE_MAX_PASSED];
};

static void say_difference(struct replay *replay, const struct captured *recorded, const char *what,
                           const struct wire_message *seen)
{
    const struct wire_message *m = &recorded->message;
    const char *name = vhushmem_request_name(m->on_channel, m->request);
    struct record record;

    replay->differences++;
    record_begin(&record, replay->probe->json, "difference");
    record_text(&record, "name", name != NULL ? name : "?");
    record_text(&record, "socket", m->on_channel ? "channel" : "main");
    record_bool(&record, "reply", (m->flags & VHOST_USER_REPLY_MASK) != 0);
    record_text(&record, "what", what);
    record_object_begin(&record, "recorded");
    decode_payload(&record, m);
    record_object_end(&record);
    if (seen != NULL) {
        record_object_begin(&record, "seen");
        record_number(&record, "id", seen->request);
        record_number(&record, "size", seen->size);
        record_number(&record, "fds", seen->nfds);
        decode_payload(&record, seen);
        record_object_end(&record);
    }
    record_end(&record);
}

/* ---- sending ---- */

static void keep(struct replay *replay, int fd)
{
    if (replay->nkept < MAX_KEPT) {
        replay->kept[replay->nkept++] = fd;
    } else {
        close_received(fd);
    }
}

/** Make a descriptor of the recorded kind. The other end of a channel's socket stays here. */
static int make_fd(struct replay *replay, const struct captured *recorded, unsigned i)
{
    int pair[2], fd;

    switch (recorded->kinds[i]) {
    case FD_EVENTFD:
        return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    case FD_SOCKET:
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            return -1;
        }
        if (!recorded->message.on_channel && recorded->message.request == SET_BACKEND_REQ_FD && replay->sockets[1] < 0) {
            replay->sockets[1] = pair[0];
        } else {
            keep(replay, pair[0]);
        }
        return pair[1];
    case FD_PIPE:
        if (pipe(pair) < 0) {
            return -1;
        }
        keep(replay, pair[0]);
        return pair[1];
    default:
        fd = memfd_create("replayed", MFD_CLOEXEC);
        if (fd >= 0 && ftruncate(fd, (off_t)MIN(recorded->sizes[i], UINT64_C(1) << 40)) < 0) {
            close(fd);
            fd = -1;
        }
        return fd;
    }
}

/**
 * Wait until the socket is ready or the time (milliseconds; -1: no limit) has passed. @returns false: it is not ready, or the
 * program must end.
 */
static bool wait_for(struct replay *replay, int fd, short events, int patience_ms)
{
    gint64 until = g_get_monotonic_time() + (gint64)patience_ms * 1000;

    while (!replay->probe->quitting && (patience_ms < 0 || g_get_monotonic_time() < until)) {
        struct pollfd target = {.fd = fd, .events = events};

        if (poll(&target, 1, SLICE_MS) > 0) {
            return true;
        }
        while (g_main_context_iteration(NULL, FALSE)) {} /* signals, and the end of --for */
    }
    return false;
}

static bool send_recorded(struct replay *replay, const struct captured *recorded)
{
    const struct wire_message *message = &recorded->message;
    uint32_t header[3] = {message->request, message->flags, message->size};
    int fds[WIRE_MAX_FDS], socket = replay->sockets[message->on_channel];
    size_t sent = 0, whole = WIRE_HEADER + message->size;

    memcpy(replay->bytes, header, WIRE_HEADER);
    if (message->size > 0) {
        memcpy(replay->bytes + WIRE_HEADER, message->payload, message->size);
    }
    for (unsigned i = 0; i < message->nfds; i++) {
        fds[i] = make_fd(replay, recorded, i);
    }
    while (sent < whole) {
        struct iovec iov = {replay->bytes + sent, whole - sent};
        ssize_t n = send_with_fds(socket, &iov, 1, fds, sent == 0 ? message->nfds : 0, MSG_DONTWAIT);

        if (n > 0) {
            sent += (size_t)n;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(replay, socket, POLLOUT, PATIENCE_MS))) {
            break;
        }
    }
    for (unsigned i = 0; i < message->nfds; i++) {
        close(fds[i]);
    }
    replay->sent++;
    return sent == whole;
}

/* ---- comparing ---- */

/** @returns 1: a message; 0: none in time; -1: the connection is over, or the bytes are no message. */
static int receive(struct replay *replay, bool on_channel, struct received *received)
{
    size_t have = 0, wanted = WIRE_HEADER;
    uint32_t header[3] = {0};
    bool lost = false;

    received->nfds = 0;
    while (have < wanted) {
        int socket = replay->sockets[on_channel];

        if (!wait_for(replay, socket, POLLIN, PATIENCE_MS)) {
            return 0;
        }
        ssize_t n =
            receive_with_fds(socket, replay->bytes + have, wanted - have, received->fds, &received->nfds, &lost, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0 || lost) {
            return -1;
        }
        have += (size_t)n;
        if (have == WIRE_HEADER && wanted == WIRE_HEADER) {
            memcpy(header, replay->bytes, sizeof(header));
            if (header[2] > WIRE_MAX_PAYLOAD) {
                return -1;
            }
            wanted += header[2];
        }
    }
    received->message = (struct wire_message){.on_channel = on_channel,
                                              .from_backend = !replay->plays_backend,
                                              .request = header[0],
                                              .flags = header[1],
                                              .size = header[2],
                                              .nfds = received->nfds,
                                              .payload = replay->bytes + WIRE_HEADER};
    return 1;
}

static void take_descriptors(struct replay *replay, const struct received *received)
{
    const struct wire_message *seen = &received->message;

    for (unsigned i = 0; i < received->nfds; i++) {
        int fd = received->fds[i];

        if (!seen->on_channel && seen->request == SET_BACKEND_REQ_FD && replay->sockets[1] < 0 && is_stream_socket(fd)) {
            replay->sockets[1] = fd;
        } else {
            keep(replay, fd); /* the owner in the recording kept it too */
        }
    }
}

/** Compare a message of the other side with the recorded one. @returns false: the connection is over. */
static bool compare(struct replay *replay, const struct captured *recorded)
{
    const struct wire_message *then = &recorded->message;
    struct received received;
    const struct wire_message *now = &received.message;
    int rc = receive(replay, then->on_channel, &received);

    if (rc <= 0) {
        for (unsigned i = 0; i < received.nfds; i++) {
            close_received(received.fds[i]);
        }
        say_difference(replay, recorded, rc == 0 ? "nothing comes" : "the connection is over", NULL);
        return false;
    }
    replay->compared++;
    if (now->request != then->request || (now->flags & VHOST_USER_REPLY_MASK) != (then->flags & VHOST_USER_REPLY_MASK)) {
        say_difference(replay, recorded, "another message comes", now);
        take_descriptors(replay, &received);
        return false;
    }
    if (now->flags != then->flags) {
        say_difference(replay, recorded, "the flags of the header differ", now);
    } else if (now->nfds != then->nfds) {
        say_difference(replay, recorded, "the number of descriptors differs", now);
    } else if (!messages_are_alike(then, now)) {
        say_difference(replay, recorded, "the payload differs", now);
    }
    take_descriptors(replay, &received);
    return true;
}

/* ---- the subcommand ---- */

static int open_main(struct replay *replay, const struct probe_options *options)
{
    int listener, fd;

    if (options->connect != NULL) {
        return socket_connect(options->connect);
    }
    listener = socket_listen(options->listen);
    if (listener < 0) {
        return listener;
    }
    do {
        fd = wait_for(replay, listener, POLLIN, -1) ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    } while (fd < 0 && !replay->probe->quitting && (errno == EINTR || errno == ECONNABORTED));
    fd = fd >= 0 ? fd : replay->probe->quitting ? -ECANCELED : -errno;
    close(listener);
    socket_unlink(options->listen);
    return fd;
}

static bool play(struct replay *replay, GPtrArray *messages)
{
    for (guint i = 0; i < messages->len; i++) {
        const struct captured *recorded = messages->pdata[i];
        bool ours = recorded->message.from_backend == replay->plays_backend;

        if (replay->sockets[recorded->message.on_channel] < 0) {
            continue; /* there is no channel now; that was reported before */
        }
        if (ours && !send_recorded(replay, recorded)) {
            say_difference(replay, recorded, "it could not be sent", NULL);
            return false;
        }
        if (!ours && !compare(replay, recorded)) {
            return false;
        }
    }
    return true;
}

int probe_replay_run(struct probe *probe, const struct probe_options *options)
{
    char *error = NULL;
    GPtrArray *messages = capture_read(options->capture, &error);
    struct replay *replay;
    struct record record;
    bool whole;
    int fd;

    if (messages == NULL) {
        int status = probe_usage_error("%s", error);

        g_free(error);
        return status;
    }
    replay = g_new0(struct replay, 1);
    replay->probe = probe;
    replay->plays_backend = options->listen != NULL;
    fd = open_main(replay, options);
    if (fd < 0) {
        fprintf(stderr, "vhushmem-probe: %s: %s\n", options->connect != NULL ? options->connect : options->listen,
                fd == -ECANCELED ? "nobody has connected" : g_strerror(-fd));
        g_ptr_array_unref(messages);
        g_free(replay);
        return STATUS_LOST;
    }
    replay->sockets[0] = fd;
    replay->sockets[1] = -1;
    whole = play(replay, messages);
    record_begin(&record, probe->json, "replayed");
    record_number(&record, "messages", messages->len);
    record_number(&record, "sent", replay->sent);
    record_number(&record, "compared", replay->compared);
    record_number(&record, "differences", replay->differences);
    record_bool(&record, "whole", whole);
    record_end(&record);
    probe_set_status(probe, replay->differences > 0 || !whole ? STATUS_UNEXPECTED : STATUS_DONE);
    close(fd);
    if (replay->sockets[1] >= 0) {
        close(replay->sockets[1]);
    }
    for (unsigned i = 0; i < replay->nkept; i++) {
        close_received(replay->kept[i]);
    }
    g_free(replay);
    g_ptr_array_unref(messages);
    return STATUS_DONE;
}
