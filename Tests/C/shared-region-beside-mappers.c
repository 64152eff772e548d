/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads map and undo while the region is shared. In the end the back-end knows exactly what is mapped. */
/* tsan: yes (threads map in a region that a front-end shares) */
#include "virtqueue-rig.h"

#define WINDOW 0x100000000ull
#define ROUNDS 300

static vhushmem_region *region;
static int file, running = 3;

static void *mapper(void *user_data)
{
    uint64_t first = (uintptr_t)user_data * 4 * PAGE;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t at = first + (uint64_t)(i % 4) * PAGE;
        CHECK(vhushmem_region_map(region, file, at, at, PAGE, VHOST_USER_FLAG_MAP_RW, NULL) == 0);
        if (i < ROUNDS - 1) {
            CHECK(vhushmem_region_unmap(region, at, PAGE, NULL) == 0);
        }
    }
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
    return NULL;
}

int main(void)
{
    vhushmem_region_options keeps = {.struct_size = sizeof(keeps), .flags = VHUSHMEM_REGION_KEEP_FDS};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &keeps};
    vhushmem_backend_options backend = {.struct_size = sizeof(backend), .features = BIT(28) | BIT(29)};
    queue_rig q;
    pthread_t threads[3];
    uint32_t written;
    uint64_t others;
    file = memfd_of(16 * PAGE, 7);
    queue_rig_open_with(&q, &backend, &options, NULL);
    queue_rig_start(&q, 64, 0, 0);
    region = some(vhushmem_device_find_region(vhushmem_frontend_device(q.frontend), 0));
    ok(vhushmem_frontend_share_region(q.frontend, region, WINDOW, 0, &error));
    for (uintptr_t i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, mapper, (void *)i) == 0);
    }
    PUMP_UNTIL(q.frontend, seen(&running) == 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    PUMP_UNTIL(q.frontend, vhushmem_frontend_shared_mappings(q.frontend, region, &others) == 3 && others == 0);
    ok(vhushmem_frontend_stop_device(q.frontend, NULL, 0, &error)); /* the answer comes after all that was told */
    queue_rig_start(&q, 64, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        set_descriptor(&q, DESC, 0, WINDOW - RAM + (i * 4 + (ROUNDS - 1) % 4) * PAGE, 8, NEXT, 1);
        set_descriptor(&q, DESC, 1, BUFFERS, 8, WRITE, 0);
        offer(&q, 0);
        kick(&q);
        EQ(taken_back(&q, &written), 0);
        EQ(written, 8);
    }
    EQ(seen(&q.events[VHUSHMEM_QUEUE_BROKEN]), 0);
    queue_rig_close(&q);
    close(file);
    return 0;
}
