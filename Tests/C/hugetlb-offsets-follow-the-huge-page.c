/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hugetlb file is mapped by its own page size. Offsets and lengths that are no multiple of it are refused with EINVAL. A
 * map for which no huge page is left is refused with ENOMEM.
 */
#include "huge-pages.h"
#include "rig.h"

static uint64_t huge;

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(2 * huge)) == 0);
    rig_refuses(r, rig_map(r, fd, 0, page, huge, 0), -EINVAL, hex(page), hex(huge));
    rig_refuses(r, rig_map(r, fd, page, 0, huge, 0), -EINVAL, hex(page), hex(huge));
    rig_refuses(r, rig_map(r, fd, 0, 0, page, 0), -EINVAL, hex(huge));
    rig_refuses(r, rig_map(r, fd, 0, 0, huge + page, 0), -EINVAL, hex(huge + page), hex(huge));
    ok(rig_map(r, fd, huge, huge, huge, VHOST_USER_FLAG_MAP_RW));
    char *window = vhushmem_region_window(r->region);
    EQ((uintptr_t)window % huge, 0);
    *(volatile uint64_t *)(window + 2 * huge - 8) = 42;
    EQ(word_at(r->region, 2 * huge - 8), 42);
    CHECK(!readable(window + huge - 1));
    ok(rig_unmap(r, huge, huge));
    CHECK(!readable(window + huge));
    close(fd);
}

static void too_many(rig *r)
{
    /* More than the pool has: nothing is lost, whatever the answer is. */
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(1024 * huge)) == 0);
    rig_refuses(r, rig_map(r, fd, 0, 0, 1024 * huge, VHOST_USER_FLAG_MAP_RW), -ENOMEM);
    close(fd);
}

int main(void)
{
    long free_pages;
    huge = movable_huge_page_or_skip(2, &free_pages);
    through_every_door(facts, 8 * huge, NULL, NULL);
    if (free_pages < 1024) {
        through_every_door(too_many, 1025 * huge, NULL, NULL);
    }
    return 0;
}
