/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With a small RLIMIT_FSIZE, no file that the library makes raises a signal. GET_INFLIGHT_FD is answered with no area, but a
 * smaller area is possible. Regions can be made and mapped even if a file may have no bytes at all. Blocked and pending
 * signals of the program stay.
 */
#include "backend-rig.h"

#include <signal.h>
#include <sys/resource.h>

typedef struct area {
    uint64_t size, offset;
    uint16_t queues, queue_size;
} area;

static void set_limit(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static uint64_t ask_for_area(backend_rig *r, uint16_t queues, uint16_t queue_size)
{
    area asked = {0, 0, queues, queue_size}, got;
    message m;
    send_message(r->main, 31, 0x1, &asked, 20, NULL, 0);
    pump_backend(r->backend);
    EQ(r->events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    EQ(receive(r->main, &m, PATIENCE_MS), 1);
    memcpy(&got, m.payload, 20);
    EQ(m.fd_count, got.size > 0 ? 1 : 0);
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    return got.size;
}

static bool is_waiting(void)
{
    sigset_t waiting;
    CHECK(sigpending(&waiting) == 0);
    return sigismember(&waiting, SIGXFSZ) == 1;
}

static bool is_blocked(void)
{
    sigset_t blocked;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    return sigismember(&blocked, SIGXFSZ) == 1;
}

static void areas(void)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 64};
    backend_rig r;
    sigset_t xfsz, before;
    backend_rig_new(&r, 16 * PAGE, &options);
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES | BIT(12));
    set_limit(1 << 20);
    EQ(ask_for_area(&r, 64, 32768), 0);
    CHECK(ask_for_area(&r, 1, 64) > 0);
    CHECK(!is_blocked() && !is_waiting());

    /* A signal that the program has pending stays pending. */
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    CHECK(pthread_sigmask(SIG_BLOCK, &xfsz, &before) == 0);
    EQ(ask_for_area(&r, 64, 32768), 0);
    CHECK(is_blocked() && !is_waiting());
    CHECK(pthread_kill(pthread_self(), SIGXFSZ) == 0);
    EQ(ask_for_area(&r, 64, 32768), 0);
    CHECK(is_waiting());
    EQ(sigwaitinfo(&xfsz, NULL), SIGXFSZ);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    CHECK(!is_blocked());
    set_limit(RLIM_INFINITY);
    CHECK(ask_for_area(&r, 64, 32768) > 0);
    backend_rig_close(&r);
}

static void regions(void)
{
    int file = memfd_of(PAGE, 1);
    set_limit(0);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 16 * PAGE, NULL, &error));
    ok(vhushmem_region_map(region, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    vhushmem_device_unref(device);
    close(file);
}

int main(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    if (limit.rlim_max != RLIM_INFINITY) {
        skip("RLIMIT_FSIZE cannot be lifted here");
    }
    areas();
    regions();
    return 0;
}
