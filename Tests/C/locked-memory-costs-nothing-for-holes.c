/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In a process that locks all its future memory (mlockall), holes that show zeros take neither memory nor page tables. This is
 * so when a guest first reads a hole of a large region, and when a large region with such holes is made, reset and mapped into.
 */
/* valgrind: no (it has no room for such windows) */
/* asan: no (its own memory cannot all be locked) */
#include "memory-rig.h"

#define GIB ((uint64_t)1 << 30)

static long rss, tables;

/* Many addresses may be locked; only memory counts. */
static void takes_no_memory(void)
{
    long more = memory_kib("VmRSS:") - rss, more_tables = memory_kib("VmPTE:") - tables;
    if (more > 16 << 10 || more_tables > 4 << 10) {
        FAIL("%ld KiB more memory, %ld KiB more page tables", more, more_tables);
    }
}

static vhushmem_region *region_of(vhushmem_device *device, uint8_t id, uint64_t size, uint32_t holes)
{
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    return some(vhushmem_region_new(device, id, size, &options, &error));
}

int main(void)
{
    int file = memfd_of(4 * PAGE, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    if (mlockall(MCL_FUTURE) != 0) {
        skip("mlockall is not allowed");
    }
    void *trial = mmap(NULL, 128 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (trial == MAP_FAILED) {
        skip("RLIMIT_MEMLOCK is too low for this test");
    }
    CHECK(munmap(trial, 128 * GIB) == 0);
    rss = memory_kib("VmRSS:");
    tables = memory_kib("VmPTE:");

    vhushmem_region *plain = region_of(device, 0, 16 * GIB, VHUSHMEM_HOLES_FAULT);
    ok(vhushmem_region_map(plain, file, 0, 8 * GIB, 4 * PAGE, 0, &error));
    takes_no_memory();
    ok(vhushmem_resolve_guest_fault(plain, GIB, 8, VHUSHMEM_ACCESS_READ, NULL));
    EQ(word_at(plain, GIB), 0);
    shows(plain, 8 * GIB, 4 * PAGE, 1, 0);
    takes_no_memory();
    ok(vhushmem_region_unmap(plain, 8 * GIB, 4 * PAGE, &error));
    EQ(word_at(plain, 8 * GIB), 0);
    EQ(vhushmem_region_unmap_all(plain), 0);
    takes_no_memory();

    vhushmem_region *zeros = region_of(device, 1, 64 * GIB, VHUSHMEM_HOLES_ZERO);
    EQ(word_at(zeros, 40 * GIB), 0);
    takes_no_memory();
    ok(vhushmem_region_map(zeros, file, 0, 20 * GIB, 4 * PAGE, 0, &error));
    EQ(vhushmem_region_unmap_all(zeros), 1);
    EQ(word_at(zeros, 20 * GIB), 0);
    takes_no_memory();

    /* And with a hole that was filled because of an unknown fault. */
    vhushmem_region *unknown = region_of(device, 2, 16 * GIB, VHUSHMEM_HOLES_FAULT);
    ok(vhushmem_resolve_guest_fault(unknown, VHUSHMEM_OFFSET_UNKNOWN, 0, VHUSHMEM_ACCESS_UNKNOWN, NULL));
    ok(vhushmem_region_map(unknown, file, 0, 0, 4 * PAGE, 0, &error));
    EQ(vhushmem_region_unmap_all(unknown), 1);
    EQ(word_at(unknown, 0), 0);
    takes_no_memory();
    close(file);
    vhushmem_device_unref(device);
    return 0;
}
