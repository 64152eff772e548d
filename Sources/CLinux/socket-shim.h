/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SOCKET_SHIM_H
#define VHU_SOCKET_SHIM_H

/* Sockets: messages with descriptors, addresses, options. */

#include "linux-shim.h"

#define VHU_MAX_FDS 8
/*
 * The most descriptors that the kernel lets a message carry. If there is no room for one, the
 * kernel closes it at once, in the receiving thread. The control space also has room for the
 * messages of SO_PASSCRED, SO_PASSPIDFD and SO_PASSSEC, which another owner of the socket may have
 * set.
 */
#define VHU_MOST_FDS 253
#define VHU_CONTROL_SPACE 2048

/*
 * Drops another control message. The one of SO_PASSPIDFD has a descriptor that the kernel made, or
 * a negative errno. The close of such a descriptor does not wait.
 */
__attribute__((noinline)) static void vhu_drop_control(const struct cmsghdr *c)
{
    int fd;
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == VHU_SCM_PIDFD &&
        c->cmsg_len >= CMSG_LEN(sizeof(fd))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (fd >= 0) {
            close(fd);
        }
    }
}

/*
 * The descriptors of a message. `fds` has room for as many as a request may have and for one more,
 * which shows that there are too many.
 */
struct vhu_fds {
    int count;      /* of those in fds */
    int more_count; /* of those in more */
    int *more;      /* the others, usually none; the caller must close them, and free this */
    int fds[VHU_MAX_FDS + 1];
};
static inline int *vhu_first_fd(struct vhu_fds *fds) { return fds->fds; }

/*
 * Adds the descriptors of a control message. It closes a descriptor if it has no memory for it.
 */
__attribute__((noinline)) static void vhu_add_fds(struct vhu_fds *into, const struct cmsghdr *c,
                                                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
        if (into->count < VHU_MAX_FDS + 1) {
            into->fds[into->count++] = fd;
            continue;
        }
        if (into->more == NULL) {
            into->more = (int *)malloc(VHU_MOST_FDS * sizeof(int));
        }
        if (into->more == NULL || into->more_count == VHU_MOST_FDS) {
            close(fd);
        } else {
            into->more[into->more_count++] = fd;
        }
    }
}

/*
 * Makes one recvmsg that never waits, and returns its result. *fds must be empty; it receives the
 * descriptors. *truncated tells whether some were lost.
 */
static inline ssize_t vhu_recvmsg(int socket, void *bytes, size_t capacity, struct vhu_fds *fds,
                                  bool *truncated)
{
    union {
        char bytes[VHU_CONTROL_SPACE];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *truncated = false;
    if (got < 0) {
        return got;
    }
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            vhu_drop_control(c);
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (n == 1 && fds->count == 0) { /* the usual case */
            memcpy(fds->fds, CMSG_DATA(c), sizeof(int));
            fds->count = 1;
            continue;
        }
        vhu_add_fds(fds, c, n);
    }
    return got;
}

/*
 * Makes one sendmsg that never waits and never raises SIGPIPE. The descriptors travel with the
 * first byte.
 */
static inline ssize_t vhu_sendmsg(int socket, const void *bytes, size_t length, const int *fds,
                                  int count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * VHU_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > VHU_MAX_FDS) {
        errno = EINVAL;
        return -1;
    }
    if (count == 0) { /* the kernel has less to check */
        return send(socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    memset(&control, 0, sizeof(control));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * Fills an address, because Swift sees sun_path as a tuple. Returns the length of the address, or
 * 0: the path does not fit. The first byte of an abstract name becomes a zero, whatever it is in
 * `path`. Only the length says where an abstract name ends.
 */
static inline socklen_t vhu_unix_address(struct sockaddr_un *address, const void *path,
                                         size_t length, bool is_abstract)
{
    size_t room = sizeof(address->sun_path) - (is_abstract ? 0 : 1);
    if (length == 0 || length > room) {
        return 0;
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (is_abstract) {
        address->sun_path[0] = 0;
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (is_abstract ? 0 : 1));
}
/* For a socket of the program: accept must not wait, and no executed program inherits it. */
static inline int vhu_make_listener(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1
                                                                   : fcntl(fd, F_SETFD, FD_CLOEXEC);
}
static inline int vhu_bind(int fd, const struct sockaddr_un *address, socklen_t length)
{
    return bind(fd, (const struct sockaddr *)address, length);
}
static inline int vhu_connect(int fd, const struct sockaddr_un *address, socklen_t length)
{
    return connect(fd, (const struct sockaddr *)address, length);
}
static inline int vhu_unix_stream_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
static inline int vhu_unix_datagram_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
static inline int vhu_socketpair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}
static inline int vhu_accept(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
/* SOCK_STREAM is an enumeration in the C library. Swift does not accept it as an int. */
static const int vhu_sock_stream = SOCK_STREAM;
/* Returns the integer socket option, or a negative errno. */
static inline int vhu_socket_option(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -errno;
}
/*
 * Has bytes that are sent with MSG_OOB arrive in order. Without this the kernel drops them in the
 * receiving thread, together with their descriptors.
 */
static inline int vhu_take_out_of_band(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}
/* Whether the socket has a peer, or had one. */
static inline bool vhu_is_connected(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}
/* From now on, a send with descriptors fails at the sender. */
static inline int vhu_refuse_descriptors(int fd)
{
    enum { PASSRIGHTS = 83 }; /* SO_PASSRIGHTS, missing from older headers */
    int off = 0;
    return setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &off, sizeof(off));
}
static inline int vhu_shutdown(int fd) { return shutdown(fd, SHUT_RDWR); }
/* Returns how many bytes can be read, or a negative errno. */
static inline int vhu_readable_bytes(int fd)
{
    int bytes = 0;
    return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -errno;
}

#endif
