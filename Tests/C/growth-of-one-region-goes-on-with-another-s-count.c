/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program has made many mappings since they were last counted. One region's growth begins the
 * count, and then that region maps nothing more. Another region's growth goes on with the count,
 * so the windows leave the program its reserve.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "count-rig.h"

int main(void)
{
    uint64_t limit = (uint64_t)max_map_count_or_skip(), at = 0;
    int file = memfd_of(PAGE, 1), done = 0;
    rig r;
    rig_open_plain(&r, 2 * limit * PAGE, NULL, NULL);
    vhushmem_region *other = some(vhushmem_region_new(r.device, 7, 4 * limit * PAGE, NULL, &error));
    char *own = own_mappings(limit / 3);
    while (!is_counting()) {
        CHECK(at < limit / 16);
        ok(vhushmem_region_map(r.region, file, 0, (2 * at++ + 1) * PAGE, PAGE, 0, &error));
    }
    for (at = 0; done == 0; at++) {
        done = vhushmem_region_map(other, file, 0, (2 * at + 1) * PAGE, PAGE, 0, &error);
    }
    refused(done, -ENOSPC, "max_map_count");
    is_left_room(r.region, limit);
    CHECK(munmap(own, 2 * limit / 3 * PAGE) == 0);
    rig_close(&r);
    close(file);
    return 0;
}
