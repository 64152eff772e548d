/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library counts the mappings of the process now and then. If there are many, no single map
 * waits for the whole count: each reads a few of them. A count that another region began, that was
 * left, or that a fork copied, holds nothing up.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
#include "memory-rig.h"

enum {
    MANY = 20000,          /* mappings of the program */
    LIVE = 3000,           /* mappings of a region */
    MOST_READS = 12,       /* of one map; a read gets 4 KiB, which is at least 40 mappings */
    FIRST_COUNT = 1 << 13, /* changes before a region's first count */
    SECOND_COUNT = 1 << 16 /* changes between two counts that find nothing wrong */
};

/* How often this thread has read something. The kernel counts a read of this file afterwards. */
static uint64_t reads_now(void)
{
    static int io = -1;
    static pid_t owner;
    char text[500] = "";
    uint64_t reads = 0;
    if (owner != getpid()) {
        owner = getpid();
        io = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
    }
    if (io < 0 || pread(io, text, sizeof(text) - 1, 0) <= 0) {
        skip("the kernel does not count reads");
    }
    CHECK(sscanf(some(strstr(text, "syscr:")), "syscr: %" SCNu64, &reads) == 1);
    return reads;
}

/* A map and an unmap. Returns how often they read. */
static uint64_t change(vhushmem_region *region, int file)
{
    uint64_t before = reads_now();
    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    ok(vhushmem_region_unmap(region, PAGE, PAGE, &error));
    return reads_now() - before - 1;
}

/* Changes the region until a count has begun. */
static void begin_count(vhushmem_region *region, int file, int changes)
{
    for (int i = 0; i < changes / 2; i++) {
        if (change(region, file) > 0) {
            return;
        }
    }
    FAIL("%d changes began no count", changes);
}

/* Changes the region until the count has ended. Returns the reads. */
static uint64_t end_count(vhushmem_region *region, int file)
{
    uint64_t all = 0, reads;
    while ((reads = change(region, file)) > 0) {
        if (reads > MOST_READS) {
            FAIL("a map read %" PRIu64 " times", reads);
        }
        all += reads;
    }
    return all;
}

/* Changes the region until its count is due, while `counter` counts and goes on with it. */
static void be_due_beside(vhushmem_region *region, vhushmem_region *counter, int file)
{
    for (int i = 0; i < FIRST_COUNT / 2 + 1; i++) {
        EQ(change(region, file), 0);
        if (i % 256 == 0) {
            CHECK(change(counter, file) > 0);
        }
    }
}

static bool is_counting(void)
{
    char *fds = fds_at_once();
    bool found = strstr(fds, "/maps") != NULL;
    g_free(fds);
    return found;
}

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

    /* While one region counts, another that is due does not. */
    begin_count(r.region, file, SECOND_COUNT + 2);
    be_due_beside(other, r.region, file);
    CHECK(end_count(r.region, file) > MANY / 100);
    begin_count(other, file, 2);

    /* A child of fork counts its own mappings, and its parent goes on as if there were no child. */
    int status;
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

    /* A count that nobody goes on with holds nobody up. */
    vhushmem_region *third = some(vhushmem_region_new(r.device, 8, 4 * PAGE, NULL, &error));
    begin_count(r.region, file, SECOND_COUNT + 2);
    be_due_beside(third, r.region, file);
    usleep(1100000); /* a count waits a second for its region */
    begin_count(third, file, 2);
    (void)end_count(third, file);
    (void)end_count(r.region, file);

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

    /* A region that goes takes its count with it. */
    begin_count(r.region, file, SECOND_COUNT + 2);
    CHECK(is_counting());
    rig_close(&r);
    EQ(is_counting(), 0);
    close(file);
    return 0;
}
