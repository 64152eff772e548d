/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: floor SOCKET SIZE. The least work that a VMM can do for a SHMEM_MAP: recvmsg, mmap, close, send. It checks nothing,
 * keeps no list, and watches no other descriptor. Before it polls, it tries recvmsg once more, because the next request has
 * often come by then.
 */
#include "wire.h"

#include <poll.h>

int main(int argc, char **argv)
{
    MUST(argc == 3);
    struct pollfd channel = {.fd = (int)number_of(argv[1]), .events = POLLIN};
    uint64_t size = number_of(argv[2]);
    char *window = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(window != MAP_FAILED);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control;
    request r;
    answer a = {{0, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(a.value)}, 0};
    struct iovec piece = {&r, sizeof(r)};
    for (;;) {
        struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(channel.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EAGAIN) {
            poll(&channel, 1, -1);
            continue;
        }
        if (got != sizeof(r)) {
            return 0;
        }
        void *seen;
        if (r.header.request == VHOST_USER_BACKEND_SHMEM_MAP) {
            int fd = *(int *)(void *)CMSG_DATA(&control.header);
            seen = mmap(window + r.map.shm_offset, r.map.len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                        (off_t)r.map.fd_offset);
            close(fd);
        } else {
            seen = mmap(window + r.map.shm_offset, r.map.len, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        }
        MUST(seen != MAP_FAILED);
        if ((r.header.flags & VHOST_USER_NEED_REPLY_MASK) != 0) {
            a.header.request = r.header.request;
            send(channel.fd, &a, sizeof(a), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
}
