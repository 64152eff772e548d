/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two threads map and unmap the same range of a region with a slot for each mapping. Whenever both stand still, the VM has
 * exactly the slot of the live mapping, or none.
 */
#include "slots.h"

static slots_rig s;
static int file;
static pthread_barrier_t barrier;
static bool is_over; /* changed between two waits at the barrier */

static void *mapper(void *user_data)
{
    unsigned random = (unsigned)(uintptr_t)user_data;
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (is_over) {
            return NULL;
        }
        for (int i = 0; i < 30; i++) {
            if (rand_r(&random) % 2) {
                int result = vhushmem_region_map(s.rig.region, file, 0, 8 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW, NULL);
                CHECK(result == 0 || result == -EEXIST);
            } else {
                int result = vhushmem_region_unmap(s.rig.region, 8 * PAGE, PAGE, NULL);
                CHECK(result == 0 || result == -ENOENT);
            }
        }
        pthread_barrier_wait(&barrier);
    }
}

int main(void)
{
    pthread_t threads[2];
    slots_begin(&s, 8, 0);
    file = memfd_of(PAGE, 1);
    ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
    CHECK(pthread_barrier_init(&barrier, NULL, 3) == 0);
    for (uintptr_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, mapper, (void *)(i + 1)) == 0);
    }
    int64_t end = now_ms() + race_ms();
    int rounds = 0;
    do {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        EQ(has_slot(&s, 8 * PAGE), vhushmem_region_mapping_count(s.rig.region));
        EQ(slot_count(&s), vhushmem_region_mapping_count(s.rig.region));
    } while (++rounds < 20 || now_ms() < end);
    is_over = true;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    printf("note: %d rounds\n", rounds);
    close(file);
    slots_end(&s);
    return 0;
}
