/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page of a read-only mapping that its file has lost, and that a guest then writes to, is the guest's own.
 * vhushmem_region_read fails as before: no file has those bytes. A page that is written before the file loses it keeps the
 * file's content.
 */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "rig.h"

static int read_word(vhushmem_region *region, uint64_t offset, uint64_t *word)
{
    return vhushmem_region_read(region, offset, word, 8, NULL);
}

int main(void)
{
    uint64_t page = PAGE, word = 0;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 256 * page, NULL, &error));
    int fd = memfd_of(4 * page, 1), large = memfd_of(100 * page, 2);
    ok(vhushmem_region_map(region, fd, 0, 0, 4 * page, 0, &error));
    ok(vhushmem_resolve_guest_fault(region, 0, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(ftruncate(fd, 0) == 0);
    ok(vhushmem_resolve_guest_fault(region, page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable((char *)vhushmem_region_window(region) + page));
    EQ(read_word(region, 0, &word), 0);
    EQ(word, pattern(1, 0));
    EQ(read_word(region, page, &word), -EIO);
    EQ(read_word(region, 2 * page, &word), -EIO);
    /* It lasts as long as its mapping. */
    fill(fd, 4 * page, 1);
    ok(vhushmem_region_heal(region));
    EQ(read_word(region, page, &word), -EIO);
    EQ(read_word(region, 2 * page, &word), 0);
    ok(vhushmem_region_unmap(region, 0, 4 * page, &error));
    ok(vhushmem_region_map(region, fd, 0, 0, 4 * page, 0, &error));
    shows(region, 0, 4 * page, 1, 0);

    /* Where the guest may write to no more pages, a page that shows zeros for a while goes back to its file in the end. */
    ok(vhushmem_region_map(region, large, 0, 128 * page, 100 * page, 0, &error));
    for (uint64_t i = 0; i < VHUSHMEM_MAX_SCRATCH_PAGES; i++) {
        ok(vhushmem_resolve_guest_fault(region, (128 + i) * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    }
    CHECK(ftruncate(fd, 0) == 0);
    err(vhushmem_resolve_guest_fault(region, page, 8, VHUSHMEM_ACCESS_WRITE, NULL), -ENOSPC);
    EQ(read_word(region, page, &word), -EIO);
    fill(fd, 4 * page, 1);
    EQ(vhushmem_region_heal(region), 0);
    shows(region, 0, 4 * page, 1, 0);
    vhushmem_device_unref(device);
    return 0;
}
