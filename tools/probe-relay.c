/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Passes everything between two sockets on, unchanged, and shows it. It replaces the socket that comes with SET_BACKEND_REQ_FD
 * by one of its own, so the back-end channel passes through here too.
 *
 * All of it runs in the main loop, and nothing waits. Each direction holds one message: it reads the next one after it has sent
 * that.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "probe-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

/* The most messages that a direction passes on before the others have their turn. */
#define MESSAGES_AT_ONCE 64
/* A connection has one channel. But a front-end may hand over a new one while the old one is still open. */
#define MAX_CHANNELS 16

struct direction {
    struct relay *relay;
    int from, to;
    bool from_backend;
    bool sending; /* the whole message was read; it is being sent */
    bool opaque;  /* these bytes are no messages: they are passed on as they are */
    bool over;
    guint watch;
    size_t have, sent, size; /* bytes of the message: received, sent, and in all */
    unsigned nfds;
    int fds[WIRE_MAX_PASSED];
    uint8_t bytes[WIRE_HEADER + WIRE_MAX_PAYLOAD];
};

struct relay {
    struct probe *probe;
    bool on_channel;
    unsigned connection; /* the connection that the channel belongs to */
    void (*ended)(struct probe *);
    struct direction directions[2];
};

static gboolean on_ready(gint fd, GIOCondition condition, gpointer user_data);

static void close_fds(struct direction *d)
{
    for (unsigned i = 0; i < d->nfds; i++) {
        close_received(d->fds[i]);
    }
    d->nfds = 0;
}

static void say_trouble(struct probe *probe, const char *message)
{
    struct record record;

    record_begin(&record, probe->json, "error");
    record_text(&record, "message", message);
    record_end(&record);
}

/** @returns as recvmsg; -1 with EMFILE: some descriptors were lost, so the message would have another meaning. */
static ssize_t receive(struct direction *d, size_t wanted)
{
    bool lost = false;
    ssize_t n = receive_with_fds(d->from, d->bytes + d->have, wanted, d->fds, &d->nfds, &lost, MSG_DONTWAIT);

    d->have += (size_t)MAX(n, 0);
    if (lost) {
        close_fds(d);
        d->have = 0;
        say_trouble(d->relay->probe,
                    "descriptors of a message are lost, because this process may open no more: the connection ends");
        errno = EMFILE;
        return -1;
    }
    return n;
}

static unsigned open_channels;

static void on_channel_ended(struct probe *probe)
{
    open_channels--;
    traffic_channel_ended(probe);
}

/** The front-end hands over one end of its channel. Give the back-end an end of our own instead. */
static void exchange_channel(struct direction *d)
{
    int pair[2];

    if (!is_stream_socket(d->fds[0])) {
        return; /* the back-end must find out what it is */
    }
    if (open_channels == MAX_CHANNELS || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        say_trouble(d->relay->probe, "too many back-end channels are open: messages on this one are not shown");
        return;
    }
    open_channels++;
    relay_start(d->relay->probe, d->fds[0], pair[0], true, on_channel_ended);
    d->fds[0] = pair[1];
}

/** Show a whole message. */
static void show(struct direction *d, const uint32_t header[3])
{
    const struct relay *relay = d->relay;
    struct wire_message message = {
        .from_backend = d->from_backend,
        .on_channel = relay->on_channel,
        .is_late = relay->on_channel && (relay->probe->lost || relay->connection != relay->probe->connections),
        .request = header[0],
        .flags = header[1],
        .size = header[2],
        .payload = d->bytes + WIRE_HEADER,
        .nfds = MIN(d->nfds, WIRE_MAX_FDS),
        .time_us = g_get_monotonic_time(),
    };

    memcpy(message.fds, d->fds, sizeof(message.fds));
    /* Show the message before it is passed on: its effects are shown after it. */
    traffic_message(relay->probe, &message);
    if (!message.on_channel && !message.from_backend && message.request == SET_BACKEND_REQ_FD && d->nfds == 1) {
        exchange_channel(d);
    }
}

/** @returns whether there is something to send. */
static bool read_on(struct direction *d)
{
    while (!d->opaque) {
        uint32_t header[3];
        size_t wanted = WIRE_HEADER;

        if (d->have >= WIRE_HEADER) {
            memcpy(header, d->bytes, sizeof(header));
            if (header[2] > WIRE_MAX_PAYLOAD) {
                d->opaque = true;
                break;
            }
            wanted += header[2];
            if (d->have == wanted) {
                show(d, header);
                d->size = wanted;
                return true;
            }
        }
        ssize_t n = receive(d, wanted - d->have);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return false;
        }
        if (n <= 0) {
            d->over = true;
            d->size = d->have; /* the beginning of a message is passed on too: the other side refuses it */
            return d->have > 0;
        }
    }
    if (d->have == 0) {
        ssize_t n = receive(d, sizeof(d->bytes));

        d->over = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }
    d->size = d->have;
    return d->have > 0;
}

/** @returns false: the socket takes no more now, or the connection is over. */
static bool send_on(struct direction *d)
{
    while (d->sent < d->size) {
        struct iovec iov = {d->bytes + d->sent, d->size - d->sent};
        ssize_t n = send_with_fds(d->to, &iov, 1, d->fds, d->sent == 0 ? d->nfds : 0, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return false;
        }
        if (n < 0) {
            close_fds(d);
            d->over = true;
            break;
        }
        close_fds(d);
        d->sent += (size_t)n;
    }
    d->have = d->sent = d->size = 0;
    d->sending = false;
    return !d->over;
}

static void end(struct relay *relay)
{
    struct direction *d = relay->directions;

    if (relay->ended != NULL) {
        relay->ended(relay->probe);
    }
    for (int i = 0; i < 2; i++) {
        if (d[i].watch != 0) {
            g_source_remove(d[i].watch);
        }
        close_fds(&d[i]);
    }
    for (int i = 0; i < 2; i++) {
        shutdown(d[i].from, SHUT_RDWR);
        close_received(d[i].from); /* descriptors that came and were not passed on */
    }
    g_free(relay);
}

/** Read and send all that is possible now. @returns false: the relay is over, and freed. */
static bool move(struct direction *d)
{
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        if (!d->sending && !d->over) {
            d->sending = read_on(d);
        }
        if (!d->sending || !send_on(d)) {
            break;
        }
    }
    if (d->over && !d->sending) {
        struct relay *relay = d->relay;

        /* The other direction sends all that it holds or can read, and then both ends are closed. */
        struct direction *other = &relay->directions[d == &relay->directions[0] ? 1 : 0];
        for (int i = 0; i < MESSAGES_AT_ONCE && !other->over; i++) {
            other->sending = other->sending || read_on(other);
            if (!other->sending || !send_on(other)) {
                break;
            }
        }
        end(relay);
        return false;
    }
    return true;
}

static void watch(struct direction *d)
{
    int fd = d->sending ? d->to : d->from;

    d->watch = g_unix_fd_add(fd, (d->sending ? G_IO_OUT : G_IO_IN) | G_IO_HUP | G_IO_ERR, on_ready, d);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer user_data)
{
    struct direction *d = user_data;
    bool was_sending = d->sending;

    (void)fd;
    (void)condition;
    guint own = d->watch;
    d->watch = 0; /* if the relay ends, the result of this function removes the watch */
    if (!move(d)) {
        return G_SOURCE_REMOVE;
    }
    if (d->sending == was_sending) {
        d->watch = own;
        return G_SOURCE_CONTINUE;
    }
    watch(d);
    return G_SOURCE_REMOVE;
}

void relay_start(struct probe *probe, int front, int back, bool on_channel, void (*ended)(struct probe *))
{
    struct relay *relay = g_new0(struct relay, 1);

    *relay = (struct relay){.probe = probe, .on_channel = on_channel, .connection = probe->connections, .ended = ended};
    for (int i = 0; i < 2; i++) {
        struct direction *d = &relay->directions[i];

        d->relay = relay;
        d->from = i == 0 ? front : back;
        d->to = i == 0 ? back : front;
        d->from_backend = i == 1;
        watch(d);
    }
}

/* ---- --dump-wire ---- */

struct waiting {
    struct probe *probe;
    int front;
    char *path;
};

static gboolean on_connection(gint fd, GIOCondition condition, gpointer user_data)
{
    struct waiting *waiting = user_data;
    int back = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    (void)condition;
    if (back < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) {
        return G_SOURCE_CONTINUE;
    }
    if (back < 0) {
        g_printerr("vhushmem-probe: no back-end could be taken from %s: %s\n", waiting->path, g_strerror(errno));
        close(waiting->front); /* the handshake finds that there is no peer */
    } else {
        relay_start(waiting->probe, waiting->front, back, false, NULL);
    }
    close(fd);
    socket_unlink(waiting->path);
    probe_start(waiting->probe);
    g_free(waiting->path);
    g_free(waiting);
    return G_SOURCE_REMOVE;
}

int relay_begin_dump(struct probe *probe, const char *path, bool server, int front)
{
    int fd = server ? socket_listen(path) : socket_connect(path);

    if (fd < 0) {
        close(front);
    } else if (server) {
        struct waiting *waiting = g_new(struct waiting, 1);

        *waiting = (struct waiting){probe, front, g_strdup(path)};
        g_unix_fd_add(fd, G_IO_IN, on_connection, waiting);
    } else {
        relay_start(probe, front, fd, false, NULL);
        probe_start(probe);
    }
    return MIN(fd, 0);
}
