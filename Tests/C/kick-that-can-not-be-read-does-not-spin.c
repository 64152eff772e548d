/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kick descriptor that cannot be read as an eventfd (an epoll, say) stays ready once it is ready. Its queue is told of one kick,
 * the loop does not turn for ever, and the other queue goes on. The library accepts such a descriptor only if neither the kernel
 * (io_submit) nor /proc can tell what it is.
 */
#include "bare-queue.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/* Takes the place of the C library's function. This system has no asynchronous I/O. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (number == SYS_io_setup) {
        errno = ENOSYS;
        return -1;
    }
    if (real == NULL) {
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int main(void)
{
    bare_queue b;
    uint64_t one = 1;
    int odd = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN};
    CHECK(epoll_ctl(odd, EPOLL_CTL_ADD, event, &wanted) == 0);
    bare_queue_open(&b, 0);
    EQ(tell_vring(&b, SET_VRING_NUM, 1, b.size), 0);
    EQ(tell_rings(&b, 1, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(&b, SET_VRING_ERR, 1, b.err), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 1, odd), -EINVAL);
    char *empty = new_directory();
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(chdir(empty) == 0 && rmdir(empty) == 0);
    g_free(empty);
    if (chroot(".") != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot(".") != 0)) {
        skip("chroot is not allowed here");
    }
    EQ(tell_u64(&b, SET_VRING_KICK, 1, odd), 0);
    CHECK(fchdir(root) == 0 && chroot(".") == 0); /* the check for leaks at the end needs /proc */
    close(root);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 1, 1), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 2);
    CHECK(write(event, &one, 8) == 8);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 3);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 3);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    CHECK(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 0));
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    kick(&b);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 4);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 1, 0), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    close(odd);
    close(event);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
