/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads call vhushmem_region_alloc in a region whose maps may replace. Each gets ranges of its own, though both look
 * for the first free one at the same time.
 */
/* tsan: yes (two threads use one region) */
/* asan: scale 3 (without a tool, the race runs for its full time) */
#include "memory-rig.h"

#define EACH 16

static vhushmem_region *region;
static int file;
static pthread_barrier_t barrier;
static bool is_over; /* changed between two waits at the barrier */

static void *allocator(void *user_data)
{
    (void)user_data;
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (is_over) {
            return NULL;
        }
        for (int i = 0; i < EACH; i++) {
            uint64_t at = UINT64_MAX;
            ok(vhushmem_region_alloc(region, file, 0, PAGE, 0, 0, &at, &error));
            CHECK(at < 2 * EACH * PAGE);
        }
        pthread_barrier_wait(&barrier);
    }
}

int main(void)
{
    rig r;
    pthread_t threads[2];
    vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_REPLACE};
    rig_open_plain(&r, 2 * EACH * PAGE, NULL, &options);
    region = r.region;
    file = memfd_of(PAGE, 1);
    CHECK(pthread_barrier_init(&barrier, NULL, 3) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, allocator, NULL) == 0);
    }
    int64_t end = now_ms() + race_ms();
    int rounds = 0;
    do {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        EQ(vhushmem_region_mapping_count(region), 2 * EACH); /* exactly as many as fit */
        EQ(vhushmem_region_unmap_all(region), 2 * EACH);
    } while (++rounds < 20 || now_ms() < end);
    is_over = true;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    printf("note: %d rounds\n", rounds);
    close(file);
    rig_close(&r);
    return 0;
}
