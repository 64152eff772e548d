/* SPDX-License-Identifier: BSD-3-Clause */
/* While one thread maps and unmaps, others translate: what stays mapped is always found, what comes and goes is found right or not at all. */
#include "harness.h"

#define PAGES 512

static vhushmem_region *region;
static int done;

/* Every fourth page is mapped for good, the others come and go. */
static void *mapper(void *user_data)
{
    int fd = *(int *)user_data;
    uint64_t page = PAGE, state = 1;
    bool live[PAGES] = {false};
    for (int i = 0; i < steps(40000); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t at = (state >> 33) % PAGES;
        if (at % 4 == 0) {
            continue;
        }
        if (live[at]) {
            ok(vhushmem_region_unmap(region, at * page, page, &error));
        } else {
            ok(vhushmem_region_map(region, fd, at * page, at * page, page, 0, &error));
        }
        live[at] = !live[at];
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *translator(void *user_data)
{
    uint64_t page = PAGE, state = (uint64_t)(uintptr_t)user_data;
    char *window = vhushmem_region_window(region);
    do {
        for (int i = 0; i < 1000; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t at = (state >> 33) % PAGES;
            char *seen = vhushmem_region_translate(region, at * page + 8, 8, false);
            CHECK(seen == window + at * page + 8 || (seen == NULL && at % 4 != 0));
            if (at % 4 == 0) {
                EQ(*(volatile uint64_t *)seen, pattern(1, at * page + 8));
            }
            CHECK(vhushmem_region_translate(region, at * page, 8, true) == NULL);
        }
    } while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE));
    return NULL;
}

int main(void)
{
    uint64_t page = PAGE;
    pthread_t threads[3];
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    region = some(vhushmem_region_new(device, 0, PAGES * page, NULL, &error));
    int fd = memfd_of(PAGES * page, 1);
    for (uint64_t at = 0; at < PAGES; at += 4) {
        ok(vhushmem_region_map(region, fd, at * page, at * page, page, 0, &error));
    }
    CHECK(pthread_create(&threads[0], NULL, mapper, &fd) == 0);
    for (uintptr_t i = 1; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, translator, (void *)i) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
