/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library recognises an eventfd without /proc, which may be missing. The owner of the process's root may also replace it:
 * here it says that each descriptor is an eventfd.
 */
/* valgrind: no (it reads /proc for itself) */
/* asan: no (it takes /proc away, which LeakSanitizer needs) */
#include "bare-queue.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/timerfd.h>

static void write_all(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        CHECK(write(fd, text, strlen(text)) > 0);
        close(fd);
    }
}

/* From now on /proc is empty. */
static void lose_proc(void)
{
    char map[64];
    uid_t user = getuid();
    gid_t group = getgid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            skip("this process may not make a mount namespace");
        }
        write_all("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "0 %u 1", user);
        write_all("/proc/self/uid_map", map);
        snprintf(map, sizeof(map), "0 %u 1", group);
        write_all("/proc/self/gid_map", map);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
        skip("nothing can be mounted over /proc");
    }
}

static void lie(void)
{
    char path[64];
    CHECK(mkdir("/proc/self", 0700) == 0 && mkdir("/proc/self/fd", 0700) == 0);
    for (int i = 0; i < 256; i++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
        CHECK(symlink("anon_inode:[eventfd]", path) == 0);
    }
}

int main(void)
{
    const uint32_t requests[] = {SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR};
    bare_queue b;
    bare_queue_open(&b, 0);
    const int others[] = {epoll_create1(EPOLL_CLOEXEC), timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
                          open("/dev/null", O_RDWR | O_CLOEXEC)};
    lose_proc();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
                EQ(tell_u64(&b, requests[i], 0, others[k]), -EINVAL);
            }
            EQ(tell_u64(&b, requests[i], 0, i == 0 ? b.kick : b.call), 0);
        }
        CHECK(!signalled(b.call) && !signalled(b.kick)); /* nothing was counted */
        if (round == 0) {
            lie();
        }
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
