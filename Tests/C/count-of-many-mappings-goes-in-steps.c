/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library counts the mappings of the process now and then. If there are many, no single map
 * waits for the whole count: each reads a few of them. Every region that is due goes on with the
 * count, a pause loses nothing, and a child of fork counts its own.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "count-rig.h"

enum { LIVE = 3000 }; /* mappings of a region */

int main(void)
{
    char *own = own_mappings(MANY);
    int file = memfd_of(PAGE, 1);
    rig r;
    (void)reads_now();
    rig_open_plain(&r, 2 * (LIVE + 1) * PAGE, NULL, NULL);
    vhushmem_region *other = some(vhushmem_region_new(r.device, 7, 4 * PAGE, NULL, &error));
    EQ(is_counting(), 0);

    /* Each change reads a part, until everything has been read. */
    begin_count(r.region, file, FIRST_COUNT + 2);
    CHECK(is_counting());
    CHECK(end_count(r.region, file) > MANY / 100);
    EQ(is_counting(), 0);

    /* A second region that is due goes on with the count of the first. That one gets its answer. */
    begin_count(r.region, file, SECOND_COUNT + 2);
    for (int i = 0; i < FIRST_COUNT / 2; i++) {
        EQ(change(other, file), 0);
    }
    CHECK(end_count(other, file) > 2 * MANY / 100); /* and then it counts for itself */
    EQ(is_counting(), 0);
    for (int i = 0; i < FIRST_COUNT; i++) {
        EQ(change(r.region, file), 0);
    }

    /* A child of fork counts its own mappings, and its parent goes on as if there were no child. */
    int status;
    begin_count(other, file, SECOND_COUNT + 2);
    pid_t child = fork();
    if (child == 0) {
        CHECK(munmap(own, 2 * (size_t)MANY * PAGE) == 0);
        CHECK(end_count(other, file) < MANY / 200);
        EQ(is_counting(), 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EQ(status, 0);
    CHECK(is_counting());
    CHECK(end_count(other, file) > MANY / 200);
    EQ(is_counting(), 0);

    /* A pause does not lose what was counted. */
    uint64_t all = 0;
    begin_count(other, file, SECOND_COUNT + 2);
    for (int i = 0; i < MANY / 200; i++) {
        all += change(other, file);
    }
    CHECK(all > MANY / 200);
    usleep(1100000);
    all = end_count(other, file);
    CHECK(all > 0 && all < MANY / 60);

    /* Mappings that go after they were counted are no fault, so the next count comes late. */
    for (uint64_t i = 1; i <= LIVE; i++) {
        ok(vhushmem_region_map(r.region, file, 0, 2 * i * PAGE, PAGE, 0, &error));
    }
    begin_count(r.region, file, SECOND_COUNT + 2);
    for (int i = 0; i < LIVE / 40; i++) {
        CHECK(change(r.region, file) > 0);
    }
    EQ(vhushmem_region_unmap_all(r.region), LIVE);
    CHECK(end_count(r.region, file) > 0);
    for (int i = 0; i < FIRST_COUNT; i++) {
        EQ(change(r.region, file), 0);
    }

    /* Nothing is left when the last region goes. */
    begin_count(r.region, file, SECOND_COUNT + 2);
    CHECK(is_counting());
    rig_close(&r);
    EQ(is_counting(), 0);
    close(file);
    return 0;
}
