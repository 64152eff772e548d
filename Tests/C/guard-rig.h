/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_GUARD_RIG_H
#define VHUSHMEM_TESTS_GUARD_RIG_H

/* A handler of SIGBUS, as in a VMM. A signal that does not concern the library ends the test. */

#include "rig.h"

#include <signal.h>

static volatile int sigbus_count;

static inline void on_sigbus(int number, siginfo_t *info, void *context)
{
    (void)context;
    (void)number;
    errno = 4711;
    if (!vhushmem_guard_handle_sigbus(info) || errno != 4711) {
        _exit(98);
    }
    __atomic_add_fetch(&sigbus_count, 1, __ATOMIC_RELAXED);
}

/*
 * Touches the stack further down than the tests do. Valgrind (3.19) ends a program if a signal is
 * sent to it and the frame of the handler begins in a page of the stack that was not touched
 * before. Whether it does depends on the length of the environment.
 */
__attribute__((constructor)) static void touch_the_stack(void)
{
    volatile char deep[1 << 20];
    for (size_t at = sizeof(deep); at >= PAGE; at -= PAGE) {
        deep[at - PAGE] = 0;
    }
}

static inline void guard_begin(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

static inline bool is_broken(vhushmem_region *region, uint64_t offset)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    ok(vhushmem_region_next_mapping(region, offset, &info));
    EQ(info.shm_offset, offset);
    return info.broken;
}

#endif
