/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM may advise the kernel on a window itself, as QEMU does for all memory of a guest. Then holes no longer merge. The
 * library notices that: far more pairs of map and unmap than the kernel has mappings all succeed, and the process never has
 * many.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "memory-rig.h"

static void facts(uint32_t holes, long limit)
{
    rig r;
    uint64_t pairs = (uint64_t)limit * 5 / 8, most = 0;
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    rig_open_plain(&r, 2 * (pairs + 1) * PAGE, NULL, &options);
    int file = memfd_of(PAGE, 1), before = ranges_of_process();
    long used = budget_figure(r.device, "used");
    CHECK(madvise(vhushmem_region_window(r.region), vhushmem_region_size(r.region), MADV_DONTFORK) == 0);
    for (uint64_t i = 0; i < pairs; i++) {
        ok(vhushmem_region_map(r.region, file, 0, (2 * i + 1) * PAGE, PAGE, 0, &error));
        ok(vhushmem_region_unmap(r.region, (2 * i + 1) * PAGE, PAGE, &error));
        if (i % 1000 == 999) {
            uint64_t now = (uint64_t)ranges_of_process();
            most = now > most ? now : most;
        }
    }
    EQ(budget_figure(r.device, "used"), used);
    if (most > (uint64_t)limit / 3) {
        FAIL("the process had %" PRIu64 " mappings", most);
    }
    /* A reset removes what is left of it, though nothing is mapped. */
    vhushmem_region_unmap_all(r.region);
    EQ(ranges_of_window(r.region), 1);
    CHECK(ranges_of_process() <= before + 8);
    close(file);
    rig_close(&r);
    printf("note: %" PRIu64 " mappings at the most\n", most);
}

int main(void)
{
    long limit = max_map_count_or_skip();
    facts(VHUSHMEM_HOLES_FAULT, limit);
    facts(VHUSHMEM_HOLES_ZERO, limit);
    return 0;
}
