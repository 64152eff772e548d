/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Descriptors that come with messages. A descriptor of a peer may be hostile: a file of a file system that never answers, or a
 * socket whose close waits. So this program looks at descriptors only with calls that do not ask the peer, and closes them in
 * threads that nothing waits for.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "probe-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most closes at the same time. The process's limit of descriptors limits how many wait after them. */
#define MAX_CLOSERS 8

/* ---- in messages ---- */

ssize_t send_with_fds(int socket, const struct iovec *iov, size_t count, const int *fds, unsigned nfds, int flags)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_MAX_PASSED)];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};

    if (nfds > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    return sendmsg(socket, &m, flags | MSG_NOSIGNAL);
}

ssize_t receive_with_fds(int socket, void *bytes, size_t size, int *fds, unsigned *nfds, bool *lost, int flags)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_MAX_PASSED)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {bytes, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);

    if (n < 0) {
        return n;
    }
    *lost = *lost || (m.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (*nfds < WIRE_MAX_PASSED) {
                fds[(*nfds)++] = fd;
            } else {
                close_received(fd);
                *lost = true;
            }
        }
    }
    return n;
}

/* ---- their end ---- */

static void close_one(gpointer fd, gpointer unused)
{
    (void)unused;
    close(GPOINTER_TO_INT(fd) - 1);
}

bool is_stream_socket(int fd)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

void close_received(int fd)
{
    static GThreadPool *closers;
    uint64_t size;
    unsigned kind = kind_of_fd(fd, &size);

    /*
     * A close of these does not wait. A socket is not one of them: its queue may hold files and other sockets, which close with
     * it.
     */
    if (kind == FD_MEMFD || kind == FD_EVENTFD || kind == FD_PIPE) {
        close(fd);
        return;
    }
    if (closers == NULL) {
        closers = g_thread_pool_new(close_one, NULL, MAX_CLOSERS, FALSE, NULL);
    }
    g_thread_pool_push(closers, GINT_TO_POINTER(fd + 1), NULL);
}

/* ---- what they are ---- */

static bool link_of(int fd, char *link, size_t size)
{
    char path[64];
    ssize_t n;

    g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, link, size - 1);
    link[MAX(n, 0)] = '\0';
    return n > 0;
}

unsigned kind_of_fd(int fd, uint64_t *size)
{
    char link[4096];
    struct statx status;

    *size = 0;
    /* This returns only facts that the kernel has already. It does not ask a peer's file system. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &status) < 0 ||
        !link_of(fd, link, sizeof(link))) {
        return FD_OTHER;
    }
    if (S_ISREG(status.stx_mode)) {
        *size = status.stx_size;
        return g_str_has_prefix(link, "/memfd:") ? FD_MEMFD : FD_FILE;
    }
    return S_ISSOCK(status.stx_mode)          ? FD_SOCKET
           : S_ISFIFO(status.stx_mode)        ? FD_PIPE
           : strstr(link, "[eventfd") != NULL ? FD_EVENTFD
                                              : FD_OTHER;
}

const char *kind_name(unsigned kind)
{
    static const char *const names[FD_KINDS] = {"other", "eventfd", "socket", "memfd", "file", "pipe"};

    return kind < FD_KINDS ? names[kind] : "other";
}

char *describe_fd(int fd)
{
    uint64_t size;
    unsigned kind = kind_of_fd(fd, &size);
    char link[4096];

    if (kind != FD_MEMFD && kind != FD_FILE && kind != FD_OTHER) {
        return g_strdup(kind_name(kind));
    }
    if (!link_of(fd, link, sizeof(link))) {
        return g_strdup("?");
    }
    return g_strdup(kind == FD_MEMFD ? link + 1 : link);
}
