/* SPDX-License-Identifier: BSD-3-Clause */

/** Unix sockets: connects to one, or listens as the library does. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "probe-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/** Set the address: a path, or an abstract name after an @. @returns its length, or a negative errno. */
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

/** Whether it is the file of a socket at which no process listens any more. */
static bool is_stale(const struct sockaddr_un *address, int length)
{
    struct stat status;
    /* A listening socket does not take a datagram socket for a peer. */
    int visitor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (visitor < 0) {
        return false;
    }
    bool refused = connect(visitor, (const struct sockaddr *)address, (socklen_t)length) < 0 && errno == ECONNREFUSED;

    close(visitor);
    return address->sun_path[0] != 0 && refused && lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode);
}

/** Listen as the library does: a stale socket is replaced, by one process at a time. @returns 0 or a negative errno. */
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

/** Connect; never waits. A process that listens and accepts nothing counts as missing. */
static int connect_to(int fd, const struct sockaddr_un *address, int length)
{
    int flags = fcntl(fd, F_GETFL), rc;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    rc = connect(fd, (const struct sockaddr *)address, (socklen_t)length) < 0 ? -errno : 0;
    fcntl(fd, F_SETFL, flags);
    return rc;
}

/* Make a socket and call `use` with it. @returns the descriptor, or a negative errno. */
static int socket_for(const char *path, int (*use)(int fd, const struct sockaddr_un *address, int length))
{
    struct sockaddr_un address;
    int length = set_address(path, &address), fd, rc;

    if (length < 0) {
        return length;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    rc = use(fd, &address, length);
    if (rc < 0) {
        close(fd);
    }
    return rc < 0 ? rc : fd;
}

int socket_connect(const char *path) { return socket_for(path, connect_to); }

int socket_listen(const char *path) { return socket_for(path, listen_at); }

void socket_unlink(const char *path)
{
    if (path[0] != '@') {
        unlink(path);
    }
}
