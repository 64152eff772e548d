/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_PEER_H
#define VHUSHMEM_TESTS_PEER_H

/*
 * Peers that speak bytes: messages in their form on the wire, and a back-end in a thread that
 * shakes hands with a front-end of the library.
 */

#include "harness.h"

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_BACKEND_REQ_FD = 21,
    RESET_DEVICE = 34,
    GET_MAX_MEM_SLOTS = 36,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_ENABLE = 18,
    NET_SET_MTU = 20,
    GET_CONFIG = 24,
    SET_CONFIG = 25,
    GET_INFLIGHT_FD = 31,
    SET_INFLIGHT_FD = 32,
    ADD_MEM_REG = 37,
    REM_MEM_REG = 38,
    SET_STATUS = 39,
    GET_SHARED_OBJECT = 41,
    GET_STATUS = 40,
    SET_DEVICE_STATE_FD = 42,
    CHECK_DEVICE_STATE = 43,
    GET_SHMEM_CONFIG = VHOST_USER_GET_SHMEM_CONFIG,
    MAP = VHOST_USER_BACKEND_SHMEM_MAP,
    UNMAP = VHOST_USER_BACKEND_SHMEM_UNMAP
};

#define BIT(n) (UINT64_C(1) << (n))
#define VIRTIO_DEFAULTS (BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(32))
#define PROTOCOL_DEFAULTS                                                                          \
    (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                        \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) |                  \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |        \
     BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_SHMEM))

/* ---- bytes ---- */

typedef struct message {
    VhostUserHeader header;
    uint8_t payload[4096];
    int fds[16];
    int fd_count;
} message;

/* Sends bytes as they are, with descriptors on the first one. Returns what sendmsg returned. */
static inline ssize_t try_send_bytes(int socket, const void *bytes, size_t size, const int *fds,
                                     int fd_count)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {(void *)bytes, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)fd_count * sizeof(int));
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL);
}

static inline void send_bytes(int socket, const void *bytes, size_t size, const int *fds,
                              int fd_count)
{
    ssize_t sent = try_send_bytes(socket, bytes, size, fds, fd_count);
    if (sent != (ssize_t)size) {
        FAIL("sendmsg of %zu bytes is %zd (%s)", size, sent, strerror(errno));
    }
}

/* Sends header, payload and descriptors in one sendmsg. Returns what that returned. */
static inline ssize_t try_send_message(int socket, uint32_t request, uint32_t flags,
                                       const void *payload, uint32_t size, const int *fds,
                                       int fd_count)
{
    uint8_t bytes[sizeof(VhostUserHeader) + 4096] = {0};
    VhostUserHeader header = {request, flags, size};
    CHECK(size <= 4096);
    memcpy(bytes, &header, sizeof(header));
    if (size > 0) {
        memcpy(bytes + sizeof(header), payload, size);
    }
    return try_send_bytes(socket, bytes, sizeof(header) + size, fds, fd_count);
}

static inline void send_message(int socket, uint32_t request, uint32_t flags, const void *payload,
                                uint32_t size, const int *fds, int fd_count)
{
    EQ(try_send_message(socket, request, flags, payload, size, fds, fd_count), 12 + (ssize_t)size);
}

/* Takes one message. 1: it is there; 0: the stream has ended; -1: nothing came in time. */
static inline int receive(int socket, message *m, int timeout_ms)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    memset(m, 0, sizeof(*m));
    size_t have = 0, want = sizeof(m->header);
    while (have < want) {
        if (!wait_readable(socket, timeout_ms)) {
            return -1;
        }
        bool in_header = have < sizeof(m->header);
        uint8_t *to =
            in_header ? (uint8_t *)&m->header + have : m->payload + (have - sizeof(m->header));
        struct iovec iov = {to, (in_header ? sizeof(m->header) : want) - have};
        struct msghdr r = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
        r.msg_controllen = sizeof(control.bytes);
        ssize_t n = recvmsg(socket, &r, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&r); c != NULL; c = CMSG_NXTHDR(&r, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                m->fd_count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                memcpy(m->fds, CMSG_DATA(c), (size_t)m->fd_count * sizeof(int));
            }
        }
        have += (size_t)n;
        if (have == sizeof(m->header)) {
            CHECK(m->header.size <= sizeof(m->payload));
            want = sizeof(m->header) + m->header.size;
        }
    }
    return 1;
}

static inline uint64_t u64_of(const message *m)
{
    uint64_t value;
    memcpy(&value, m->payload, sizeof(value));
    return value;
}

/* Whether the other end has closed the socket. This discards what it sent before. */
static inline bool hung_up(int socket, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms;
    do {
        char bytes[256];
        ssize_t n = recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return true;
        }
        if (n < 0) {
            wait_readable(socket, 10);
        }
    } while (now_ms() < end);
    return false;
}

/* ---- a back-end that speaks bytes ---- */

typedef struct peer peer;
struct peer {
    /* The answers of the peer. The test sets them before peer_start. */
    uint64_t features, protocol_features, queues, slots;
    VhostUserShMemConfig config;
    uint32_t config_size; /* how much of the config it answers */
    uint32_t refuses;     /* the request that it acknowledges with 1 */
    uint32_t mute;        /* the request that it never answers */
    uint32_t reply_flags; /* what it adds to the flags of its replies */
    /* after its second answer to this request, it reads nothing more */
    uint32_t deaf_after_second;
    /* from the peer's thread; the descriptors are still open */
    void (*before_answer)(peer *, const message *);
    bool (*answer)(peer *, const message *); /* likewise; true: this has answered */
    /* What it heard. */
    pthread_mutex_t lock;
    uint64_t accepted;
    int channel;
    int heard_count;
    message heard[160]; /* payloads only as far as they matter; fds closed */
    int main;
    pthread_t thread;
};

static inline void peer_init(peer *p)
{
    memset(p, 0, sizeof(*p));
    p->features = VIRTIO_DEFAULTS;
    p->protocol_features = PROTOCOL_DEFAULTS;
    p->queues = 2;
    p->slots = 509;
    p->config_size = sizeof(p->config);
    p->channel = p->main = -1;
    pthread_mutex_init(&p->lock, NULL);
}

static inline void peer_add_region(peer *p, uint8_t shmid, uint64_t size)
{
    p->config.nregions++;
    p->config.memory_sizes[shmid] = size;
}

/*
 * Replies to a message as the peer is set up to, or with the acknowledgement that the message
 * asks for.
 */
static inline void peer_reply(peer *p, const message *m)
{
    bool ack = false;
    uint64_t value = 0;
    uint32_t request = m->header.request;
    if (request == p->mute || (p->answer != NULL && p->answer(p, m))) {
        return;
    }
    switch (request) {
    case GET_FEATURES:
        value = p->features;
        break;
    case GET_PROTOCOL_FEATURES:
        value = p->protocol_features;
        break;
    case GET_QUEUE_NUM:
        value = p->queues;
        break;
    case GET_MAX_MEM_SLOTS:
        value = p->slots;
        break;
    case GET_SHMEM_CONFIG:
        try_send_message(p->main, request, 0x5 | p->reply_flags, &p->config, p->config_size, NULL,
                         0);
        return;
    default:
        ack = true;
        value = request == p->refuses ? 1 : 0;
    }
    if (!ack || (m->header.flags & VHOST_USER_NEED_REPLY_MASK) != 0) {
        /* The front-end may be gone already. */
        try_send_message(p->main, request, 0x5 | p->reply_flags, &value, sizeof(value), NULL, 0);
    }
}

static inline void *peer_serve(void *user_data)
{
    peer *p = user_data;
    message m;
    int deaf = 0;
    while (receive(p->main, &m, -1) > 0) {
        uint32_t request = m.header.request;
        pthread_mutex_lock(&p->lock);
        if (p->heard_count < (int)(sizeof(p->heard) / sizeof(p->heard[0]))) {
            p->heard[p->heard_count++] = m;
        }
        if (request == SET_PROTOCOL_FEATURES) {
            p->accepted = u64_of(&m);
        }
        if (request == SET_BACKEND_REQ_FD && m.fd_count == 1 && p->channel < 0) {
            p->channel = m.fds[0];
            m.fds[0] = -1;
        }
        pthread_mutex_unlock(&p->lock);
        if (p->before_answer != NULL) {
            p->before_answer(p, &m);
        }
        for (int i = 0; i < m.fd_count; i++) {
            if (m.fds[i] >= 0) {
                close(m.fds[i]);
            }
        }
        peer_reply(p, &m);
        if (request == p->deaf_after_second && deaf++ > 0) {
            break;
        }
    }
    return NULL;
}

/* Serves the main socket until its other end is closed. */
static inline void peer_start(peer *p, int main)
{
    p->main = main;
    CHECK(pthread_create(&p->thread, NULL, peer_serve, p) == 0);
}

/* Closes the main socket's peer end: the front-end sees the connection end. */
static inline void peer_hang_up(peer *p) { shutdown(p->main, SHUT_RDWR); }

/* Called after the front-end is gone, or after peer_hang_up. */
static inline void peer_end(peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->main);
    if (p->channel >= 0) {
        close(p->channel);
    }
    pthread_mutex_destroy(&p->lock);
}

/* The n-th message of this kind that was heard (0 is the first), or NULL. */
static inline const message *peer_heard(peer *p, uint32_t request, int n)
{
    const message *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->heard_count && found == NULL; i++) {
        if (p->heard[i].header.request == request && n-- == 0) {
            found = &p->heard[i];
        }
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

#endif
