/* SPDX-License-Identifier: BSD-3-Clause */
/* Four threads map, look, unmap and enumerate in the regions of one device at once. Nothing is lost, and no thread sees
   another's mappings. */
/* tsan: yes (four threads use one device) */
#include "harness.h"

#define THREADS 4
#define PAGES 64 /* of each thread, in both regions */

static vhushmem_device *device;
static vhushmem_region *regions[2];

static void *work(void *user_data)
{
    uint64_t page = PAGE, me = (uint64_t)(uintptr_t)user_data, base = me * PAGES * page, state = me + 1;
    bool live[2][PAGES] = {{false}};
    int fd = memfd_of(PAGES * page, me);
    for (int i = 0; i < steps(5000); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t in = (state >> 40) % 2, at = (state >> 33) % PAGES;
        vhushmem_region *region = regions[in];
        if (live[in][at]) {
            shows(region, base + at * page, page, me, at * page);
            err(vhushmem_region_map(region, fd, 0, base + at * page, page, 0, &error), -EEXIST);
            ok(vhushmem_region_unmap(region, base + at * page, page, &error));
        } else {
            err(vhushmem_region_unmap(region, base + at * page, page, &error), -ENOENT);
            ok(vhushmem_region_map(region, fd, at * page, base + at * page, page, 0, &error));
            shows(region, base + at * page, page, me, at * page);
        }
        live[in][at] = !live[in][at];

        /* One page that all threads want. */
        uint64_t contended = THREADS * PAGES * page;
        int done = vhushmem_region_map(regions[0], fd, 0, contended, page, 0, NULL);
        CHECK(done == 0 || done == -EEXIST);
        if (done == 0) {
            shows(regions[0], contended, page, me, 0);
            ok(vhushmem_region_unmap(regions[0], contended, page, &error));
        }
        vhushmem_mapping_info info = {.struct_size = sizeof(info)};
        uint64_t from = base;
        for (uint64_t p = 0; p < PAGES; p++) {
            if (live[in][p]) {
                ok(vhushmem_region_next_mapping(region, from, &info));
                EQ(info.shm_offset, base + p * page);
                from = info.shm_offset + info.len;
            }
        }
        CHECK(vhushmem_device_mapping_count(device) <= THREADS * 2 * PAGES + 1);
    }
    for (uint64_t in = 0; in < 2; in++) {
        for (uint64_t at = 0; at < PAGES; at++) {
            if (live[in][at]) {
                ok(vhushmem_region_unmap(regions[in], base + at * page, page, &error));
            }
        }
    }
    close(fd);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    device = some(vhushmem_device_new(NULL, &error));
    for (int i = 0; i < 2; i++) {
        regions[i] = some(vhushmem_region_new(device, (uint8_t)i, (THREADS * PAGES + 1) * PAGE, NULL, &error));
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    EQ(vhushmem_device_mapping_count(device), 0);
    EQ(vhushmem_device_mapped_bytes(device), 0);
    vhushmem_device_unref(device);
    return 0;
}
