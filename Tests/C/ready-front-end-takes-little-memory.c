/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it has an allocator of its own) */
/* asan: no (it has an allocator of its own) */
/* A ready front-end, with one region and a GSource, takes at most 16 KiB of the heap. This holds for the fifth and for the
   thousandth. */
#include "rig.h"

#include <malloc.h>
#include <sys/resource.h>

#define FRONT_ENDS 1000
#define SOME 100
#ifdef __aarch64__
#define MOST (16 * 1024 + 256) /* a mutex of its C library takes 8 bytes more */
#else
#define MOST (16 * 1024)
#endif

static rig rigs[FRONT_ENDS];

static void open_some(int from, int to)
{
    for (int i = from; i < to; i++) {
        rig_open(&rigs[i], 16 * PAGE, NULL);
        GSource *source = some(vhushmem_frontend_source_new(rigs[i].frontend));
        g_source_attach(source, NULL);
        g_source_unref(source);
    }
    while (g_main_context_iteration(NULL, FALSE)) {}
}

/* Bytes for each. */
static size_t cost_of(int from, int to)
{
    size_t before = mallinfo2().uordblks;
    open_some(from, to);
    return (mallinfo2().uordblks - before) / (size_t)(to - from);
}

int main(void)
{
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    if (files.rlim_cur < 12 * FRONT_ENDS) {
        skip("there are too few descriptors for a thousand front-ends");
    }
    open_some(0, 4);
    size_t first = cost_of(4, SOME);
    open_some(SOME, FRONT_ENDS - SOME);
    size_t last = cost_of(FRONT_ENDS - SOME, FRONT_ENDS);
    printf("note: %zu bytes at first, %zu at last\n", first, last);
    CHECK(first <= MOST);
    CHECK(last <= MOST);
    for (int i = 0; i < FRONT_ENDS; i++) {
        rig_close(&rigs[i]);
    }
    return 0;
}
