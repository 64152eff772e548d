/* SPDX-License-Identifier: BSD-3-Clause */
/* While one thread maps and unmaps, another one's status of the device is consistent: the listed, left out and counted
   mappings agree. */
/* tsan: yes (two threads use one device) */
#include "status-rig.h"

#define PAGES 200

static vhushmem_region *region;
static bool done;

static void *work(void *nothing)
{
    uint64_t page = PAGE, state = 1;
    bool live[PAGES] = {false};
    int fd = memfd_of(page, 1);
    for (int i = 0; i < steps(50000); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t at = (state >> 33) % PAGES;
        if (live[at]) {
            ok(vhushmem_region_unmap(region, at * page, page, &error));
        } else {
            ok(vhushmem_region_map(region, fd, 0, at * page, page, 0, &error));
        }
        live[at] = !live[at];
    }
    close(fd);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    return nothing;
}

static void agrees(char *json, uint64_t limit)
{
    const char *quotas = strstr(json, "\"shmid\"");
    uint64_t live = number_of(strstr(quotas, "\"quotas\""), "used"), listed = times(quotas, "\"fd_offset\":");
    EQ(listed, MIN(live, limit));
    EQ(number_of(quotas, "mappings_left_out"), live - listed);
    EQ(number_of(quotas, "maps") - number_of(quotas, "unmaps"), live);
    g_free(json);
}

int main(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    region = some(vhushmem_region_new(device, 0, PAGES * PAGE, NULL, &error));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        agrees(some(vhushmem_device_status_json(device, UINT64_MAX)), UINT64_MAX);
        agrees(some(vhushmem_region_status_json(region, 20)), 20);
    }
    pthread_join(thread, NULL);
    vhushmem_device_unref(device);
    return 0;
}
