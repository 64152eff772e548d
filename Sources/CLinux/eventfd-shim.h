/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_EVENTFD_SHIM_H
#define VHU_EVENTFD_SHIM_H

/* Eventfds, and how a thread waits for them: the kernel's asynchronous reads, epoll, timerfds. */

#include "linux-shim.h"

/*
 * Reads the whole count of an eventfd, and never waits. The front-end has the descriptor too: it
 * may have read the count meanwhile, or cleared O_NONBLOCK.
 */
static inline ssize_t vhu_read_count(int fd)
{
    uint64_t count;
    struct iovec all = {.iov_base = &count, .iov_len = sizeof(count)};
    ssize_t result = preadv2(fd, &all, 1, -1, RWF_NOWAIT);
    /*
     * A seccomp filter may answer ENOSYS. The eventfds of Linux 5.8 and later support RWF_NOWAIT.
     */
    if (result < 0 && errno == ENOSYS) {
        struct pollfd target = {.fd = fd, .events = POLLIN};
        if (poll(&target, 1, 0) == 1 && target.revents == POLLIN) {
            return read(fd, &count, sizeof(count));
        }
        errno = EAGAIN;
    }
    return result;
}

/* ---- signals by the kernel (only System/EventSignal.swift uses them) ---- */

static inline int vhu_signal_setup(unsigned long *context)
{
    enum { AT_ONCE = 64 };
    return (int)syscall(SYS_io_setup, AT_ONCE, context);
}
static inline int vhu_signal_end(unsigned long context)
{
    return (int)syscall(SYS_io_destroy, context);
}
static inline int vhu_submit(unsigned long context, struct iocb *operation)
{
    int result = (int)syscall(SYS_io_submit, context, 1, &operation);
    if (result < 0 && errno == EAGAIN) { /* the queue of results is full: empty it */
        struct io_event results[64];
        struct timespec now = {0, 0};
        while (syscall(SYS_io_getevents, context, 0, 64, results, &now) == 64) {}
        result = (int)syscall(SYS_io_submit, context, 1, &operation);
    }
    return result;
}
/* A read of no bytes, at whose end the kernel signals the same descriptor. */
static inline struct iocb vhu_read_of_nothing(int fd)
{
    struct iocb operation;
    memset(&operation, 0, sizeof(operation));
    operation.aio_lio_opcode = IOCB_CMD_PREAD;
    operation.aio_fildes = (uint32_t)fd;
    operation.aio_flags = IOCB_FLAG_RESFD;
    operation.aio_resfd = (uint32_t)fd;
    return operation;
}
/*
 * Asks the kernel for a read of no bytes, after which the kernel signals the eventfd. The read is
 * done at once. EINVAL, EBADF: `fd` is no eventfd.
 */
static inline int vhu_signal(unsigned long context, int fd)
{
    struct iocb operation = vhu_read_of_nothing(fd);
    return vhu_submit(context, &operation);
}
/*
 * Asks for the same with invalid flags, so the kernel refuses and signals nothing. EOPNOTSUPP: `fd`
 * is an eventfd. EINVAL, EBADF: it is no eventfd.
 */
static inline int vhu_refused_signal(unsigned long context, int fd)
{
    struct iocb operation = vhu_read_of_nothing(fd);
    operation.aio_rw_flags = 1 << 30;
    return vhu_submit(context, &operation);
}

/* ---- waiting ---- */

static const int vhu_eventfd_flags = EFD_CLOEXEC | EFD_NONBLOCK;
static const int vhu_epoll_flags = EPOLL_CLOEXEC;
static const int vhu_timerfd_flags = TFD_CLOEXEC | TFD_NONBLOCK;
static const uint32_t vhu_epoll_once = EPOLLET;
static inline int vhu_epoll_control(int epoll, int operation, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data = {.u32 = tag}};
    return epoll_ctl(epoll, operation, fd, &event);
}
/*
 * Stores the tags of ready descriptors, at most 64. Returns their number. It waits for the first
 * one so many milliseconds at most; -1: no limit.
 */
static inline int vhu_epoll_ready_tags(int epoll, uint32_t tags[64], int timeout)
{
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, timeout);
    for (int i = 0; i < count; i++) {
        tags[i] = events[i].data.u32;
    }
    return count;
}
/* Arms a timerfd to become readable at a time of CLOCK_MONOTONIC in microseconds; 0 disarms it. */
static inline int vhu_timerfd_set(int fd, uint64_t deadline)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(deadline / 1000000),
                                           .tv_nsec = (long)(deadline % 1000000) * 1000}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}
static inline uint64_t vhu_monotonic_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

#endif
