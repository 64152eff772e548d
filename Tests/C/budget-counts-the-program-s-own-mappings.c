/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program has thousands of mappings of its own. The windows leave it those and a sixteenth of vm.max_map_count. When the
 * program gives its own back, maps that were refused work.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "memory-rig.h"

static vhushmem_region *region;

/* Maps until a map is refused. Returns how many succeeded. */
static uint64_t map_all(int file, uint64_t from, uint64_t limit)
{
    int64_t done = 0;
    uint64_t count = from;
    while ((done = vhushmem_region_map(region, file, 0, (2 * count + 1) * PAGE, PAGE, 0, &error)) == 0) {
        count++;
        CHECK(count < limit);
    }
    refused(done, -ENOSPC, "max_map_count");
    return count;
}

int main(void)
{
    uint64_t limit = (uint64_t)max_map_count_or_skip(), many = limit / 8;
    int file = memfd_of(PAGE, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));

    /* Mappings that the program has from the beginning. */
    char *own = own_mappings(many);
    region = some(vhushmem_region_new(device, 0, 4 * limit * PAGE, NULL, &error));
    uint64_t count = map_all(file, 0, limit);
    CHECK(count > limit / 4);
    is_left_room(region, limit);

    /* The program gives them back, so the windows get as many more. */
    CHECK(munmap(own, 2 * many * PAGE) == 0);
    uint64_t more = map_all(file, count, limit);
    CHECK(more >= count + many * 3 / 4); /* two for each mapping, for the program's and for the window's */
    is_left_room(region, limit);

    /* The library also counts mappings that the program makes later, as the windows grow. */
    EQ(vhushmem_region_unmap_all(region), more);
    for (count = 0; count < limit / 16; count++) {
        ok(vhushmem_region_map(region, file, 0, (2 * count + 1) * PAGE, PAGE, 0, &error));
    }
    own = own_mappings(many);
    count = map_all(file, count, limit);
    is_left_room(region, limit);
    CHECK(munmap(own, 2 * many * PAGE) == 0);

    /* A map that was refused works now. A mapping that goes may come again. */
    ok(vhushmem_region_map(region, file, 0, (2 * count + 1) * PAGE, PAGE, 0, &error));
    ok(vhushmem_region_unmap(region, PAGE, PAGE, &error));
    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    close(file);
    vhushmem_device_unref(device);
    return 0;
}
