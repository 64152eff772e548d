/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BENCH_WIRE_H
#define VHUSHMEM_BENCH_WIRE_H

/* A back-end without any library: its requests, and its part of the handshake. */

#include "measure.h"

#include <sys/socket.h>

#include <vhushmem/vhost-user.h>

typedef struct __attribute__((packed)) request {
    VhostUserHeader header;
    VhostUserMMap map;
} request;

typedef struct __attribute__((packed)) answer {
    VhostUserHeader header;
    uint64_t value;
} answer;

static inline request request_of(uint32_t id, bool need_reply, uint64_t shm_offset, uint64_t len)
{
    request r = {.header = {id, VHOST_USER_VERSION | (need_reply ? VHOST_USER_NEED_REPLY_MASK : 0),
                            sizeof(r.map)},
                 .map = {.shm_offset = shm_offset, .len = len, .flags = VHOST_USER_FLAG_MAP_RW}};
    return r;
}

/* Sends all in one sendmsg. fd -1: without a descriptor. */
static inline void send_with_fd(int socket, const void *bytes, size_t size, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec piece = {(void *)bytes, size};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
    }
    MUST(socket >= 0 && sendmsg(socket, &m, MSG_NOSIGNAL) == (ssize_t)size);
}

static inline void send_map(int channel, bool need_reply, uint64_t shm_offset, uint64_t len,
                            int file)
{
    request r = request_of(VHOST_USER_BACKEND_SHMEM_MAP, need_reply, shm_offset, len);
    send_with_fd(channel, &r, sizeof(r), file);
}

static inline void send_unmap(int channel, bool need_reply, uint64_t shm_offset, uint64_t len)
{
    request r = request_of(VHOST_USER_BACKEND_SHMEM_UNMAP, need_reply, shm_offset, len);
    send_with_fd(channel, &r, sizeof(r), -1);
}

/* Waits for the answer. It must say that the request was served. */
static inline void take_answer(int channel)
{
    answer a;
    MUST(recv(channel, &a, sizeof(a), MSG_WAITALL) == sizeof(a));
    MUST(a.value == 0);
}

/* ---- the handshake ---- */

enum { GET_FEATURES = 1, GET_PROTOCOL_FEATURES = 15, SET_BACKEND_REQ_FD = 21 };

#define PROTOCOL_FEATURES                                                                          \
    (UINT64_C(1) << VHOST_USER_PROTOCOL_F_REPLY_ACK |                                              \
     UINT64_C(1) << VHOST_USER_PROTOCOL_F_BACKEND_REQ |                                            \
     UINT64_C(1) << VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD |                                        \
     UINT64_C(1) << VHOST_USER_PROTOCOL_F_SHMEM)

/*
 * Receives the header and the payload of the front-end's next message. Returns the descriptor that
 * came with it, or -1.
 */
static inline int receive_message(int socket, VhostUserHeader *header, void *payload,
                                  size_t capacity)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control;
    struct iovec piece = {header, sizeof(*header)};
    struct msghdr m = {.msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    int fd = -1;
    MUST(recvmsg(socket, &m, MSG_WAITALL | MSG_CMSG_CLOEXEC) == sizeof(*header));
    MUST(header->size <= capacity);
    MUST(header->size == 0 ||
         recv(socket, payload, header->size, MSG_WAITALL) == (ssize_t)header->size);
    if (CMSG_FIRSTHDR(&m) != NULL) {
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    }
    return fd;
}

/*
 * Answers a front-end on its main socket until it has asked for the regions. There is one region,
 * 0. Returns the back-end channel.
 */
static inline int shake_hands(int socket, uint64_t region_size)
{
    int channel = -1;
    for (;;) {
        VhostUserHeader header;
        uint64_t payload[512], value = 0;
        int fd = receive_message(socket, &header, payload, sizeof(payload));
        if (header.request == VHOST_USER_GET_SHMEM_CONFIG) {
            struct __attribute__((packed)) {
                VhostUserHeader header;
                VhostUserShMemConfig config;
            } reply = {
                {header.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(reply.config)},
                {.nregions = 1, .memory_sizes = {region_size}}};
            send_with_fd(socket, &reply, sizeof(reply), -1);
            return channel;
        }
        if (header.request == SET_BACKEND_REQ_FD) {
            channel = fd;
        } else if (fd >= 0) {
            close(fd);
        }
        bool asks = header.request == GET_FEATURES || header.request == GET_PROTOCOL_FEATURES;
        if (asks) {
            value = header.request == GET_FEATURES ? UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES
                                                   : PROTOCOL_FEATURES;
        }
        if (asks || (header.flags & VHOST_USER_NEED_REPLY_MASK) != 0) {
            answer a = {
                {header.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(a.value)},
                value};
            send_with_fd(socket, &a, sizeof(a), -1);
        }
    }
}

#endif
