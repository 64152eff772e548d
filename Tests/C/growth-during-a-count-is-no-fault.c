/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region compares its mappings with the kernel's. Mappings that it makes during the count are
 * no difference, also if the process's own count is due at the same time. So the next comparison
 * comes late.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "count-rig.h"

enum { GROWTH = 100 };

int main(void)
{
    long limit = max_map_count_or_skip();
    int file = memfd_of(PAGE, 1);
    rig r;
    (void)reads_now();
    rig_open_plain(&r, 4 * (GROWTH + 1) * PAGE, NULL, NULL);
    vhushmem_region *other = some(vhushmem_region_new(r.device, 7, limit * PAGE, NULL, &error));
    char *own = own_mappings(MANY); /* below the windows, so they are counted first */
    CHECK(own < (char *)vhushmem_region_window(r.region));
    begin_count(r.region, file, FIRST_COUNT + 2);
    (void)end_count(r.region, file);

    /* The process's count is almost due when the region's begins. */
    for (long i = 0; i < limit / 32 - 4; i++) {
        ok(vhushmem_region_map(other, file, 0, 2 * i * PAGE, PAGE, 0, &error));
    }
    begin_count(r.region, file, SECOND_COUNT + 2);
    for (uint64_t i = 1; i <= GROWTH; i++) {
        uint64_t before = reads_now();
        ok(vhushmem_region_map(r.region, file, 0, 2 * i * PAGE, PAGE, 0, &error));
        CHECK(reads_now() - before > 1);
    }
    CHECK(end_count(r.region, file) > 0);
    for (int i = 0; i < FIRST_COUNT; i++) {
        EQ(change(r.region, file), 0);
    }
    rig_close(&r);
    close(file);
    return 0;
}
