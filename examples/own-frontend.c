/* SPDX-License-Identifier: BSD-3-Clause */

#include "own-frontend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 60
#define BIT(n) (UINT64_C(1) << (n))

/* Without these the device cannot map. */
#define NEEDED                                                                                                                 \
    (BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) | BIT(VHOST_USER_PROTOCOL_F_SHMEM))
#define WANTED (NEEDED | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))

enum {
    GET_FEATURES = 1,
    SET_OWNER = 3,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_BACKEND_REQ_FD = 21,
    RESET_DEVICE = 34
};

static int complain(const char *what, int code)
{
    fprintf(stderr, "vmm     FAILED: %s: %s\n", what, strerror(code));
    return -code;
}

/** Send header, payload and descriptor in one sendmsg: some back-ends accept nothing else. */
static int send_request(int socket, uint32_t request, uint32_t flags, const void *payload, uint32_t size, int fd)
{
    VhostUserHeader header = {.request = request, .flags = VHOST_USER_VERSION | flags, .size = size};
    struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)payload, size}};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *descriptors = CMSG_FIRSTHDR(&message);
        descriptors->cmsg_level = SOL_SOCKET;
        descriptors->cmsg_type = SCM_RIGHTS;
        descriptors->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(descriptors), &fd, sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent != (ssize_t)(sizeof(header) + size)) {
        return complain("cannot send a request", sent < 0 ? errno : EIO);
    }
    return 0;
}

static int read_all(int socket, void *to, size_t size)
{
    ssize_t got = recv(socket, to, size, MSG_WAITALL);

    if (got != (ssize_t)size) {
        return complain("the back-end did not answer", got < 0 ? errno : ECONNRESET);
    }
    return 0;
}

/** Receive the reply to a request. It must have exactly `size` bytes. */
static int receive_reply(int socket, uint32_t request, void *payload, uint32_t size)
{
    VhostUserHeader header;
    int rc = read_all(socket, &header, sizeof(header));

    if (rc < 0) {
        return rc;
    }
    if (header.request != request || header.flags != (VHOST_USER_VERSION | VHOST_USER_REPLY_MASK) || header.size != size) {
        return complain("the back-end answers something else", EPROTO);
    }
    return read_all(socket, payload, size);
}

static int ask(int socket, uint32_t request, void *payload, uint32_t size)
{
    int rc = send_request(socket, request, 0, NULL, 0, -1);

    return rc < 0 ? rc : receive_reply(socket, request, payload, size);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return complain(path, ENAMETOOLONG);
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return complain("no socket", errno);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        int rc = complain(path, errno);

        close(fd);
        return rc;
    }
    return fd;
}

static int agree(struct own_frontend *frontend)
{
    uint64_t features, offered;
    int rc = ask(frontend->main, GET_FEATURES, &features, sizeof(features));

    if (rc < 0) {
        return rc;
    }
    if ((features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)) == 0) {
        return complain("the back-end has no protocol features", EOPNOTSUPP);
    }
    rc = ask(frontend->main, GET_PROTOCOL_FEATURES, &offered, sizeof(offered));
    if (rc < 0) {
        return rc;
    }
    if ((offered & NEEDED) != NEEDED) {
        return complain("the back-end offers no shared memory", EOPNOTSUPP);
    }
    frontend->protocol_features = offered & WANTED;
    return send_request(frontend->main, SET_PROTOCOL_FEATURES, 0, &frontend->protocol_features, sizeof(uint64_t), -1);
}

static int give_channel(struct own_frontend *frontend)
{
    int ends[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return complain("no socket pair", errno);
    }
    frontend->channel = ends[0];
    rc = send_request(frontend->main, SET_BACKEND_REQ_FD, 0, NULL, 0, ends[1]);
    close(ends[1]);
    return rc;
}

static int shake_hands(struct own_frontend *frontend)
{
    int rc = agree(frontend);

    if (rc == 0) {
        rc = give_channel(frontend);
    }
    if (rc == 0) {
        rc = send_request(frontend->main, SET_OWNER, 0, NULL, 0, -1);
    }
    if (rc == 0) {
        rc = ask(frontend->main, VHOST_USER_GET_SHMEM_CONFIG, &frontend->config, sizeof(frontend->config));
    }
    return rc;
}

int own_frontend_connect(struct own_frontend *frontend, const char *socket_path)
{
    int rc;

    memset(frontend, 0, sizeof(*frontend));
    frontend->channel = -1;
    frontend->main = connect_to(socket_path);
    rc = frontend->main < 0 ? frontend->main : shake_hands(frontend);
    if (rc < 0) {
        own_frontend_close(frontend);
    }
    return rc;
}

int own_frontend_send_reset(struct own_frontend *frontend)
{
    const uint64_t needed = BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);

    if ((frontend->protocol_features & needed) != needed) {
        return complain("the back-end can't say that it was reset", EOPNOTSUPP);
    }
    return send_request(frontend->main, RESET_DEVICE, VHOST_USER_NEED_REPLY_MASK, NULL, 0, -1);
}

int own_frontend_receive_reset(struct own_frontend *frontend)
{
    uint64_t failed;
    int rc = receive_reply(frontend->main, RESET_DEVICE, &failed, sizeof(failed));

    if (rc == 0 && failed != 0) {
        rc = complain("the back-end would not be reset", EIO);
    }
    return rc;
}

void own_frontend_close(struct own_frontend *frontend)
{
    if (frontend->main >= 0) {
        close(frontend->main);
    }
    if (frontend->channel >= 0) {
        close(frontend->channel);
    }
    frontend->main = -1;
    frontend->channel = -1;
}
