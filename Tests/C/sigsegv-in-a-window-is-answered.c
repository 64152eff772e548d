/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM touches windows with its own loads and stores. A hole reads as zeros. A write where writing is not allowed goes to
 * private memory. A signal from elsewhere is passed on, and so is one that an instruction fetch raised.
 */
/* valgrind: no (it runs handlers between instructions, not in their midst) */
#include "rig.h"

#include <setjmp.h>
#include <vhushmem/guard.h>

static sigjmp_buf way_out;
static volatile sig_atomic_t answered, refused;
static bool gives_context = true;

static void on_segv(int number, siginfo_t *info, void *context)
{
    (void)number;
    errno = 77;
    if (vhushmem_guard_handle_sigsegv(info, gives_context ? context : NULL)) {
        CHECK(errno == 77);
        answered++;
        return;
    }
    refused++;
    siglongjmp(way_out, 1);
}

static void catch_it(void)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

static void accesses(uint32_t holes)
{
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 256 * PAGE, &options, &error));
    volatile uint8_t *window = vhushmem_region_window(region);
    int file = memfd_of(4 * PAGE, 5);
    uint8_t before, after;
    VhostUserMMap map = {.shm_offset = 16 * PAGE, .len = 4 * PAGE, .flags = 0};
    EQ(vhushmem_handle_map(device, &map, file, &error), 0);
    map = (VhostUserMMap){.shm_offset = 32 * PAGE, .len = 4 * PAGE, .flags = VHOST_USER_FLAG_MAP_RW};
    EQ(vhushmem_handle_map(device, &map, file, &error), 0);
    answered = refused = 0;

    EQ(window[3 * PAGE], 0);
    EQ(window[200 * PAGE + 9], 0);
    EQ(refused, 0);
    CHECK(!gives_context ||
          answered == (holes == VHUSHMEM_HOLES_FAULT ? 1 : 0)); /* after the first read all holes show zeros */

    /* Writes to more holes than may stay: the newest has its bytes. */
    for (unsigned i = 64; i < 64 + 3 * VHUSHMEM_MAX_SCRATCH_PAGES; i++) {
        window[i * PAGE + 1] = 7;
        EQ(window[i * PAGE + 1], 7);
    }
    EQ(refused, 0);

    /* Writes to read-only mappings: the file gets none of them. */
    CHECK(pread(file, &before, 1, PAGE) == 1);
    window[17 * PAGE] = (uint8_t)(before + 1);
    EQ(window[17 * PAGE], (uint8_t)(before + 1));
    CHECK(pread(file, &after, 1, PAGE) == 1);
    EQ(after, before);
    /* A writable mapping is written as usual. */
    answered = 0;
    window[33 * PAGE] = (uint8_t)(before + 2);
    CHECK(pread(file, &after, 1, PAGE) == 1);
    EQ(after, (uint8_t)(before + 2));
    EQ(answered, 0);
    EQ(refused, 0);

    /* A reset removes all of it. */
    EQ(vhushmem_device_unmap_all(device), 2);
    EQ(window[17 * PAGE], 0);
    EQ(window[66 * PAGE + 1], 0);

    /* Nobody may run code in a window. */
    if (gives_context && sigsetjmp(way_out, 1) == 0) {
        ((void (*)(void))(uintptr_t)(window + 18 * PAGE))();
    }
    EQ(refused, gives_context ? 1 : 0);
    /* The library answers neither for other addresses, nor for signals that somebody sends. */
    if (sigsetjmp(way_out, 1) == 0) {
        *(volatile uint8_t *)(uintptr_t)16 = 1;
    }
    EQ(refused, gives_context ? 2 : 1);
    if (sigsetjmp(way_out, 1) == 0) {
        raise(SIGSEGV);
    }
    EQ(refused, gives_context ? 3 : 2);
    close(file);
    vhushmem_device_unref(device);
}

static void *blocked_then_not(void *user_data)
{
    sigset_t set;
    (void)user_data;
    sigfillset(&set);
    CHECK(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0);
    ok(vhushmem_guard_unblock_signals(&error));
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
    CHECK(!sigismember(&set, SIGSEGV) && !sigismember(&set, SIGBUS) && sigismember(&set, SIGTERM));
    accesses(VHUSHMEM_HOLES_FAULT);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    CHECK(!vhushmem_guard_handle_sigsegv(NULL, NULL));
    catch_it();
    accesses(VHUSHMEM_HOLES_FAULT);
    accesses(VHUSHMEM_HOLES_ZERO);
    CHECK(pthread_create(&thread, NULL, blocked_then_not, NULL) == 0 && pthread_join(thread, NULL) == 0);
    gives_context = false;
    accesses(VHUSHMEM_HOLES_FAULT);
    return 0;
}
