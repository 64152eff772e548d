/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_process_budget_set limits what all windows may use together, and says how much is left to the program. Mappings
 * in use stay granted; 0 restores the default; a number that no kernel grants is EINVAL.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "memory-rig.h"

static vhushmem_device *device;
static vhushmem_region *regions[2];
static int file;

/* Maps alternately in both regions until a map is refused. */
static uint64_t map_all(uint64_t most)
{
    int64_t done = 0;
    uint64_t count = 0;
    while ((done = vhushmem_region_map(regions[count % 2], file, 0, (count + 1) * PAGE, PAGE, 0, &error)) == 0) {
        count++;
        CHECK(count < most);
    }
    refused(done, -ENOSPC);
    return count;
}

int main(void)
{
    uint64_t limit = (uint64_t)max_map_count_or_skip();
    file = memfd_of(PAGE, 1);
    device = some(vhushmem_device_new(NULL, &error));
    for (uint8_t i = 0; i < 2; i++) {
        regions[i] = some(vhushmem_region_new(device, i, 4 * limit * PAGE, NULL, &error));
    }
    long base = budget_figure(device, "used");

    /* Each mapping counts as two. */
    ok(vhushmem_process_budget_set(1000, 0));
    EQ(budget_figure(device, "limit"), 1000);
    uint64_t count = map_all(limit);
    EQ(count, (1000 - (uint64_t)base) / 2);
    EQ(budget_figure(device, "used"), base + 2 * (long)count);

    /* Less than is in use: present mappings stay, and no more are granted. */
    ok(vhushmem_process_budget_set(100, 0));
    EQ(vhushmem_device_mapping_count(device), count);
    EQ(vhushmem_region_map(regions[0], file, 0, (4 * limit - 2) * PAGE, PAGE, 0, NULL), -ENOSPC);
    ok(vhushmem_region_unmap(regions[0], PAGE, PAGE, &error));
    vhushmem_device_unmap_all(device);
    ok(vhushmem_process_budget_set(100, 0));
    EQ(map_all(limit), (100 - (uint64_t)base) / 2);
    vhushmem_device_unmap_all(device);

    /* A reserve: all but some hundreds. */
    ok(vhushmem_process_budget_set(0, limit - 2000));
    uint64_t few = map_all(limit);
    CHECK(few > 100 && few < 1000);
    vhushmem_device_unmap_all(device);

    /* The smaller of the two holds. */
    ok(vhushmem_process_budget_set(500, limit - 2000));
    EQ(map_all(limit), (500 - (uint64_t)base) / 2);
    vhushmem_device_unmap_all(device);

    ok(vhushmem_process_budget_set(0, 0));
    CHECK(map_all(limit) > limit / 4);
    vhushmem_device_unmap_all(device);
    EQ(budget_figure(device, "used"), base);

    err(vhushmem_process_budget_set(UINT64_MAX, 0), -EINVAL);
    err(vhushmem_process_budget_set(0, UINT64_MAX), -EINVAL);
    err(vhushmem_process_budget_set((uint64_t)1 << 31, 0), -EINVAL);
    CHECK(budget_figure(device, "limit") > (long)limit / 2);
    close(file);
    vhushmem_device_unref(device);
    return 0;
}
