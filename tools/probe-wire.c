/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * --dump-wire: the probe stands between its own front-end and the back-end, hands every message on as it is, and prints it decoded. The
 * socket that goes with SET_BACKEND_REQ_FD is exchanged for one of its own, so the channel passes through here as well.
 *
 * A thread for each direction of each socket: none waits for another, and a peer that stops in the middle of a message stops itself.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib-unix.h>

#define SET_BACKEND_REQ_FD 21
#define HEADER_SIZE 12
#define MAX_FDS 8
/** What is longer is no message that anybody understands: it is handed on, and nothing behind it is decoded. */
#define MAX_PAYLOAD (1 << 17)

/** One direction of one socket. */
struct relay {
    struct probe *probe;
    int from, to;
    bool from_backend, on_channel;
    int refs; /* of the two directions, each holds the sockets open */
    struct relay *other;
};

static void start_relays(struct probe *probe, int front, int back, bool on_channel);

/** @returns bytes received: less than wanted at the end of the stream. Descriptors are added to fds. */
static size_t receive_all(int fd, uint8_t *bytes, size_t wanted, int *fds, unsigned *nfds)
{
    size_t done = 0;

    while (done < wanted) {
        char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
        struct iovec iov = {bytes + done, wanted - done};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                for (unsigned i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                    int got;

                    memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                    if (*nfds < MAX_FDS) {
                        fds[(*nfds)++] = got;
                    } else {
                        close(got);
                    }
                }
            }
        }
        done += (size_t)n;
    }
    return done;
}

static bool send_all(int fd, const uint8_t *bytes, size_t size, const int *fds, unsigned nfds)
{
    for (size_t done = 0; done < size;) {
        char control[CMSG_SPACE(sizeof(int) * MAX_FDS)] = {0};
        struct iovec iov = {(void *)(bytes + done), size - done};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (done == 0 && nfds > 0) {
            m.msg_control = control;
            m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
            struct cmsghdr *c = CMSG_FIRSTHDR(&m);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
            memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
        }
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/** The front-end hands over one end of its channel: the back-end gets one of ours instead, and what it says there passes through. */
static void exchange_channel(struct relay *relay, int *fd)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        start_relays(relay->probe, *fd, pair[0], true);
        *fd = pair[1];
    }
}

/** Hands one message on. @returns false: there are no more. */
static bool relay_one(struct relay *relay, uint8_t *bytes)
{
    struct wire_message message = {.from_backend = relay->from_backend, .on_channel = relay->on_channel};
    int fds[MAX_FDS];
    uint32_t header[3];
    size_t size = receive_all(relay->from, bytes, HEADER_SIZE, fds, &message.nfds);
    bool whole = size == HEADER_SIZE, sent;

    if (whole) {
        memcpy(header, bytes, sizeof(header));
        message.request = header[0];
        message.flags = header[1];
        message.size = header[2];
        message.payload = bytes + HEADER_SIZE;
        whole = message.size <= MAX_PAYLOAD;
    }
    if (whole) {
        size += receive_all(relay->from, bytes + HEADER_SIZE, message.size, fds, &message.nfds);
        whole = size == HEADER_SIZE + message.size;
    }
    if (whole) {
        /* Before it is handed on: what follows from it is printed behind it. */
        probe_decode(relay->probe, &message);
        if (!relay->on_channel && !relay->from_backend && message.request == SET_BACKEND_REQ_FD && message.nfds == 1) {
            exchange_channel(relay, &fds[0]);
        }
    }
    sent = send_all(relay->to, bytes, size, fds, message.nfds);
    for (unsigned i = 0; i < message.nfds; i++) {
        close(fds[i]);
    }
    return whole && sent;
}

static gpointer run_relay(gpointer user_data)
{
    struct relay *relay = user_data;
    uint8_t *bytes = g_malloc(HEADER_SIZE + MAX_PAYLOAD);
    ssize_t n;

    while (relay_one(relay, bytes)) {}
    /* Whatever can't be cut into messages goes on as it is: it is for the other side to refuse. */
    while ((n = recv(relay->from, bytes, MAX_PAYLOAD, 0)) > 0 && send_all(relay->to, bytes, (size_t)n, NULL, 0)) {}
    g_free(bytes);
    /* The end is handed on; the other direction ends by that, too. */
    shutdown(relay->to, SHUT_RDWR);
    shutdown(relay->from, SHUT_RDWR);
    if (g_atomic_int_dec_and_test(&relay->other->refs)) {
        close(relay->from);
        close(relay->to);
        g_free(relay->other);
    }
    return NULL;
}

static void start_relays(struct probe *probe, int front, int back, bool on_channel)
{
    /* Two structs in one block, that goes with the direction which ends last: the first one's count is both's. */
    struct relay *pair = g_new0(struct relay, 2);

    pair[0] = (struct relay){probe, front, back, false, on_channel, 2, &pair[0]};
    pair[1] = (struct relay){probe, back, front, true, on_channel, 0, &pair[0]};
    for (int i = 0; i < 2; i++) {
        g_thread_unref(g_thread_new("wire", run_relay, &pair[i]));
    }
}

/* ---- the connection ---- */

/** A path, or behind an @ the name of an abstract socket. @returns its length, or a negative errno. */
static int set_address(const char *path, struct sockaddr_un *address)
{
    size_t length = strlen(path);
    bool is_abstract = path[0] == '@';

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (length <= (is_abstract ? 1 : 0)) {
        return -EINVAL;
    }
    if (length > sizeof(address->sun_path) - (is_abstract ? 0 : 1)) {
        return -ENAMETOOLONG;
    }
    memcpy(address->sun_path, path, length);
    if (is_abstract) {
        address->sun_path[0] = 0;
    }
    return (int)(offsetof(struct sockaddr_un, sun_path) + length + (is_abstract ? 0 : 1));
}

static gboolean on_connection(gint fd, GIOCondition condition, gpointer user_data)
{
    struct probe *probe = user_data;
    int back = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    (void)condition;
    if (back < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) {
        return G_SOURCE_CONTINUE;
    }
    if (back < 0) {
        g_printerr("vhushmem-probe: no back-end could be taken from %s: %s\n", probe->wire.path, g_strerror(errno));
        close(probe->wire.front); /* the handshake finds that nobody is there */
    } else {
        start_relays(probe, probe->wire.front, back, false);
    }
    close(fd);
    if (probe->wire.path[0] != '@') {
        unlink(probe->wire.path);
    }
    probe->wire.start(probe);
    return G_SOURCE_REMOVE;
}

/** Whether there is a socket at which nobody listens any more. */
static bool is_stale(const struct sockaddr_un *address, int length)
{
    struct stat status;
    int visitor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* a listener takes no such visitor for a peer */
    bool refused = connect(visitor, (const struct sockaddr *)address, (socklen_t)length) < 0 && errno == ECONNREFUSED;

    close(visitor);
    return address->sun_path[0] != 0 && refused && lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode);
}

/** As the library does: a stale socket is replaced, by one process at a time. @returns 0 or a negative errno. */
static int listen_at(int fd, const struct sockaddr_un *address, int length)
{
    int rc = bind(fd, (const struct sockaddr *)address, (socklen_t)length);

    if (rc < 0 && errno == EADDRINUSE) {
        if (!is_stale(address, length)) {
            return -EADDRINUSE;
        }
        char *folder = g_path_get_dirname(address->sun_path);
        int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        g_free(folder);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || !is_stale(address, length)) {
            errno = EADDRINUSE;
        } else {
            unlink(address->sun_path);
            rc = bind(fd, (const struct sockaddr *)address, (socklen_t)length);
        }
        if (lock >= 0) {
            int error = errno;

            close(lock);
            errno = error;
        }
    }
    return rc < 0 || listen(fd, 1) < 0 ? -errno : 0;
}

int probe_wire_begin(struct probe *probe, const char *path, bool server, void (*start)(struct probe *))
{
    struct sockaddr_un address;
    int length = set_address(path, &address), rc = MIN(length, 0), fd = -1;

    probe->wire.path = path;
    probe->wire.start = start;
    if (rc == 0) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = fd < 0 ? -errno : 0;
    }
    if (rc == 0 && server) {
        rc = listen_at(fd, &address, length);
    } else if (rc == 0) {
        rc = connect(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 ? -errno : 0;
    }
    if (rc < 0) {
        if (fd >= 0) {
            close(fd);
        }
        close(probe->wire.front);
    } else if (server) {
        g_unix_fd_add(fd, G_IO_IN, on_connection, probe);
    } else {
        start_relays(probe, probe->wire.front, fd, false);
        start(probe);
    }
    return rc;
}
