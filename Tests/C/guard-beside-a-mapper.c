/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads touch truncated pages again and again while another one maps and unmaps around them. The guard repairs each page,
 * hurts no other mapping, and uses nothing up.
 */
/* tsan: yes (threads touch pages that another one maps) */
#include "guard-rig.h"

#define SLOTS 32
#define ROUNDS 400

static vhushmem_region *region;
static int stop;

static void *toucher(void *user_data)
{
    const char *window = vhushmem_region_window(region);
    (void)user_data;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        for (uint64_t i = 0; i < SLOTS; i += 2) { /* these are mapped all the time */
            uint64_t seen = *(const volatile uint64_t *)(window + i * 2 * PAGE + PAGE);
            CHECK(seen == 0 || seen == pattern(1, PAGE));
        }
    }
    return NULL;
}

int main(void)
{
    uint64_t page = PAGE;
    pthread_t threads[2];
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    region = some(vhushmem_region_new(device, 0, 2 * SLOTS * page, NULL, &error));
    int files[SLOTS];
    guard_begin();
    char *maps = window_now(region);
    for (int round = 0; round < steps(ROUNDS); round++) {
        for (uint64_t i = 0; i < SLOTS; i++) {
            files[i] = memfd_of(2 * page, 1);
            ok(vhushmem_region_map(region, files[i], 0, i * 2 * page, 2 * page, i % 3 == 0 ? VHOST_USER_FLAG_MAP_RW : 0,
                                   &error));
        }
        __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
        for (int i = 0; i < 2; i++) {
            CHECK(pthread_create(&threads[i], NULL, toucher, NULL) == 0);
        }
        for (uint64_t i = 1; i < SLOTS; i += 2) {
            CHECK(ftruncate(files[i - 1], (off_t)(i % 4 == 1 ? 0 : page)) == 0);
            ok(vhushmem_region_unmap(region, i * 2 * page, 2 * page, &error));
            ok(vhushmem_region_map(region, files[i], 0, i * 2 * page, 2 * page, 0, &error));
        }
        __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
        for (uint64_t i = 0; i < SLOTS; i++) {
            if (i % 2 == 1) {
                shows(region, i * 2 * page, 2 * page, 1, 0);
            } else {
                EQ(word_at(region, i * 2 * page + page), 0);
                CHECK(is_broken(region, i * 2 * page));
            }
            ok(vhushmem_region_unmap(region, i * 2 * page, 2 * page, &error));
            close(files[i]);
        }
    }
    char *status = some(vhushmem_device_status_json(device, 0));
    CHECK(strstr(status, "\"process\":{\"mappings\":{\"used\":2,") != NULL); /* the window itself, and its index */
    g_free(status);
    same(maps, window_now(region));
    printf("note: %d signals\n", sigbus_count);
    vhushmem_device_unref(device);
    return 0;
}
