/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end gives an eventfd whose write waits when it is full, and fills it again and again, also between the device's
 * look and its signal. A device that waited would wait until the front-end reads the eventfd, and here the front-end waits
 * for the device.
 */
/* valgrind: no (it runs one thread at a time) */
#include "bare-queue.h"

static long signals;
static int is_over;

static bool has_gone_on(long seen)
{
    return __atomic_load_n(&signals, __ATOMIC_RELAXED) > seen + 1 || __atomic_load_n(&is_over, __ATOMIC_RELAXED);
}

static void *fill_again(void *user_data)
{
    int fd = *(int *)user_data;
    uint64_t full = UINT64_MAX - 1, count;
    for (unsigned turn = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); turn += 13) {
        for (volatile unsigned i = 0; i < turn % 997; i++) {}
        /* This thread itself must not wait, so it fills what it has emptied. */
        CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
        if (read(fd, &count, sizeof(count)) < 0 || write(fd, &full, sizeof(full)) < 0) {}
        CHECK(fcntl(fd, F_SETFL, 0) == 0);
        for (long seen = __atomic_load_n(&signals, __ATOMIC_RELAXED); !has_gone_on(seen);) {
            sched_yield();
        }
    }
    return NULL;
}

int main(void)
{
    bare_queue b;
    pthread_t thread;
    alarm(PATIENCE_MS / 1000); /* ends a device that waits */
    bare_queue_open(&b, 0);
    int full = eventfd(0, EFD_CLOEXEC);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, full), 0);
    set_descriptor(&b, 0, BUFFERS, 8, 0, 0);
    CHECK(pthread_create(&thread, NULL, fill_again, &full) == 0);
    for (int i = 0; i < steps(300000); i++) {
        offer(&b, 0);
        EQ(vhushmem_backend_push(b.r.backend, some(vhushmem_backend_pop(b.r.backend, 0, &error)), 0, &error), 0);
        ok(vhushmem_backend_notify(b.r.backend, 0, &error));
        __atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    CHECK(pthread_join(thread, NULL) == 0);
    close(full);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
