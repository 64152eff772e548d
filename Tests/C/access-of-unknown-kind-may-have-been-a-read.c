/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VHUSHMEM_ACCESS_UNKNOWN on a page of a read-only mapping: the first answer changes nothing, because a read works now. If the
 * instruction fails again it is a write, and the page becomes private.
 */
#include "rig.h"

int main(void)
{
    rig r;
    rig_open_plain(&r, 16 * PAGE, NULL, NULL);
    int file = memfd_of(4 * PAGE, 1);
    uint64_t word = 7, seen = 0;
    ok(vhushmem_region_map(r.region, file, 0, 0, 4 * PAGE, 0, &error));
    char *before = window_now(r.region);
    ok(vhushmem_resolve_guest_fault(r.region, PAGE, 4, VHUSHMEM_ACCESS_UNKNOWN, NULL));
    ok(vhushmem_resolve_guest_fault(r.region, 2 * PAGE, 4, VHUSHMEM_ACCESS_UNKNOWN, NULL));
    same(before, window_now(r.region));
    CHECK(pwrite(file, &word, 8, (off_t)PAGE) == 8 && pwrite(file, &word, 8, (off_t)(2 * PAGE)) == 8);
    EQ(word_at(r.region, PAGE), 7);
    EQ(word_at(r.region, 2 * PAGE), 7);

    /* The instruction fails again. */
    ok(vhushmem_resolve_guest_fault(r.region, PAGE, 4, VHUSHMEM_ACCESS_UNKNOWN, NULL));
    CHECK(writable((char *)vhushmem_region_window(r.region) + PAGE));
    CHECK(!writable((char *)vhushmem_region_window(r.region) + 2 * PAGE));
    EQ(word_at(r.region, PAGE), 7);
    *(volatile uint64_t *)((char *)vhushmem_region_window(r.region) + PAGE) = 8;
    CHECK(pread(file, &seen, 8, (off_t)PAGE) == 8);
    EQ(seen, 7);
    close(file);
    rig_close(&r);
    return 0;
}
