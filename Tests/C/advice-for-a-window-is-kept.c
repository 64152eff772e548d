/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_region_advise: present mappings, later mappings and the holes that they leave have the advice, and the holes
 * merge with their neighbours. The last advice of a pair counts. Advice that no window can keep is refused with EINVAL.
 */
#include "memory-rig.h"

static void all_have(vhushmem_region *region, const char *flag, bool wanted)
{
    char *window = vhushmem_region_window(region);
    for (uint64_t at = 0; at < vhushmem_region_size(region); at += PAGE) {
        char *flags = vm_flags_at(window + at);
        if ((strstr(flags, flag) != NULL) != wanted) {
            FAIL("page 0x%" PRIx64 " has %s", at, flags);
        }
        g_free(flags);
    }
}

static void facts(rig *r)
{
    int file = memfd_of(2 * PAGE, 1);
    ok(rig_map(r, file, 0, 2 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW));
    all_have(r->region, " dc", false);
    ok(vhushmem_region_advise(r->region, MADV_DONTFORK));
    all_have(r->region, " dc", true);
    for (uint64_t i = 2; i < 7; i++) {
        ok(rig_map(r, file, 0, 2 * i * PAGE, PAGE, 0));
    }
    all_have(r->region, " dc", true);
    for (uint64_t i = 2; i < 7; i++) {
        ok(rig_unmap(r, 2 * i * PAGE, PAGE));
    }
    all_have(r->region, " dc", true);
    EQ(ranges_of_window(r->region), 3); /* a hole, the mapping, and one hole again */
    ok(vhushmem_resolve_guest_fault(r->region, 9 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    all_have(r->region, " dc", true);
    ok(vhushmem_resolve_guest_fault(r->region, 9 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    all_have(r->region, " dc", true);
    vhushmem_region_unmap_all(r->region);
    EQ(ranges_of_window(r->region), 1);
    all_have(r->region, " dc", true);

    /* Advice of another kind is added, and the first advice is taken back. */
    int has_huge_pages = vhushmem_region_advise(r->region, MADV_NOHUGEPAGE);
    CHECK(has_huge_pages == 0 || has_huge_pages == -EINVAL);
    ok(rig_map(r, file, 0, 2 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW));
    all_have(r->region, " dc", true);
    all_have(r->region, " nh", has_huge_pages == 0);
    ok(vhushmem_region_advise(r->region, MADV_DOFORK));
    ok(rig_map(r, file, 0, 8 * PAGE, 2 * PAGE, 0));
    ok(rig_unmap(r, 2 * PAGE, 2 * PAGE));
    all_have(r->region, " dc", false);
    all_have(r->region, " nh", has_huge_pages == 0);
    ok(rig_unmap(r, 8 * PAGE, 2 * PAGE));
    EQ(ranges_of_window(r->region), 1);

    static const int others[] = {MADV_NORMAL, MADV_DONTNEED, MADV_REMOVE, MADV_DODUMP, MADV_DONTDUMP, MADV_FREE, -1, 12345};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        still before = rig_still(r);
        err(vhushmem_region_advise(r->region, others[i]), -EINVAL);
        same_still_at(__FILE__, __LINE__, r, before);
    }
    err(vhushmem_region_advise(NULL, MADV_DONTFORK), -EFAULT);
    close(file);
}

int main(void)
{
    vhushmem_region_options options = {.struct_size = sizeof(options)};
    through_every_door(facts, 16 * PAGE, NULL, &options);
    return 0;
}
