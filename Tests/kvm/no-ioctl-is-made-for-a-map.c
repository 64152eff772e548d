/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One slot covers the window for all of its life. The kernel forbids every ioctl to the thread that maps and unmaps, and a
 * guest in another thread sees each map and unmap.
 */
#include "guest.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { COUNT = 300 };

static bool forbid_ioctls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The two threads take turns. */
typedef struct mapper {
    vhushmem_region *region;
    pthread_barrier_t turn;
    bool forbidden;
} mapper;

static uint64_t place_of(uint64_t i) { return i * 7 % 64 * PAGE; }

static void *map_and_unmap(void *user_data)
{
    mapper *m = user_data;
    int fd = memfd_of(8 * PAGE, 1);
    m->forbidden = forbid_ioctls();
    pthread_barrier_wait(&m->turn);
    for (uint64_t i = 0; m->forbidden && i < COUNT; i++) {
        ok(vhushmem_region_map(m->region, fd, i % 8 * PAGE, place_of(i), PAGE, i % 2, &error));
        pthread_barrier_wait(&m->turn);
        pthread_barrier_wait(&m->turn);
        ok(vhushmem_region_unmap(m->region, place_of(i), PAGE, &error));
        pthread_barrier_wait(&m->turn);
        pthread_barrier_wait(&m->turn);
    }
    close(fd);
    return NULL;
}

static void facts(guest *g)
{
    mapper m = {.region = g->rig.region};
    pthread_t thread;
    CHECK(pthread_barrier_init(&m.turn, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, map_and_unmap, &m) == 0);
    pthread_barrier_wait(&m.turn);
    if (!m.forbidden) {
        skip("this kernel takes no seccomp filter");
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        pthread_barrier_wait(&m.turn);
        guest_shows(&g->vcpu, place_of(i), 1, i % 8 * PAGE);
        pthread_barrier_wait(&m.turn);
        pthread_barrier_wait(&m.turn);
        EQ(guest_load(&g->vcpu, place_of(i) + 4), 0);
        pthread_barrier_wait(&m.turn);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&m.turn);
}

int main(void)
{
    with_a_guest(facts, 64 * PAGE, VHUSHMEM_HOLES_FAULT);
    return 0;
}
