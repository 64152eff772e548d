/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kick, call or error descriptor must be an eventfd; others could wait, or raise SIGPIPE. (A process inside an epoll call
 * may hold the epoll as long as one of its page faults takes, and a look at the epoll waits for that.) A full eventfd does
 * not wait.
 */
#include "bare-queue.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

int main(void)
{
    const uint32_t requests[] = {SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR};
    bare_queue b;
    int pipe_ends[2], sockets[2], full = eventfd(0, EFD_CLOEXEC); /* full: a write to it waits */
    uint64_t most = UINT64_MAX - 1;
    CHECK(write(full, &most, 8) == 8);
    bare_queue_open(&b, 0);
    CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    const int others[] = {pipe_ends[0],
                          pipe_ends[1],
                          sockets[0],
                          memfd_of(PAGE, 1),
                          open("/dev/null", O_RDWR | O_CLOEXEC),
                          open("/", O_RDONLY | O_CLOEXEC),
                          epoll_create1(EPOLL_CLOEXEC),
                          timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    char *before = fds_now();
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
            EQ(tell_u64(&b, requests[i], 0, others[k]), -EINVAL);
        }
    }
    same(before, fds_now());
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));

    /* The refused descriptors have changed nothing. The writing end's reader is gone now: a write to it would end this
       process. */
    close(pipe_ends[0]);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, pipe_ends[1]), -EINVAL);
    set_descriptor(&b, 0, BUFFERS, 8, 0, 0);
    offer(&b, 0);
    kick(&b);
    EQ(vhushmem_backend_push(b.r.backend, some(vhushmem_backend_pop(b.r.backend, 0, &error)), 0, &error), 0);
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 1);
    CHECK(signalled(b.call));

    /* Nobody reads its count: there is no room for one more. The driver sees it signalled, and the device does not wait. */
    EQ(tell_u64(&b, SET_VRING_CALL, 0, full), 0);
    offer(&b, 0);
    kick(&b);
    EQ(vhushmem_backend_push(b.r.backend, some(vhushmem_backend_pop(b.r.backend, 0, &error)), 0, &error), 0);
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 1);
    CHECK(wait_readable(full, 0));
    EQ(fcntl(full, F_GETFL) & O_NONBLOCK, 0); /* the front-end owns it, and it is unchanged */

    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
