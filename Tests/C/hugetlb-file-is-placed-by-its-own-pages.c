/* SPDX-License-Identifier: BSD-3-Clause */
/* vhushmem_region_alloc with an alignment of 0 takes the file's alignment: the huge page, for a hugetlb file. */
#include "huge-pages.h"

int main(void)
{
    uint64_t huge = movable_huge_page_or_skip(2, NULL), at = 1;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, 8 * huge, NULL, &error));
    int file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB), small = memfd_of(PAGE, 1);
    CHECK(file >= 0 && ftruncate(file, (off_t)(2 * huge)) == 0);
    ok(vhushmem_region_map(region, small, 0, 0, PAGE, 0, &error));
    ok(vhushmem_region_alloc(region, file, 0, huge, 0, VHOST_USER_FLAG_MAP_RW, &at, &error));
    EQ(at, huge);
    EQ(word_at(region, huge), 0);
    ok(vhushmem_region_alloc(region, file, huge, huge, 2 * huge, 0, &at, &error));
    EQ(at, 2 * huge);
    /* An ordinary file goes after the first page. */
    ok(vhushmem_region_alloc(region, small, 0, PAGE, 0, 0, &at, &error));
    EQ(at, PAGE);
    close(file);
    close(small);
    vhushmem_device_unref(device);
    return 0;
}
