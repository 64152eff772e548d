/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes that a guest writes to a hole reach no file: not one that is mapped next to it, was mapped there before, or is
 * mapped there afterwards. The guest sees that file unchanged.
 */
#include "guest.h"

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    if (!writes_can_be_resolved(c, 15 * page)) {
        skip("this kernel does not say where its guest failed");
    }
    for (uint64_t seed = 1; seed < 6; seed++) {
        uint64_t rw = seed % 2;
        int before = memfd_of(page, seed), beside = memfd_of(2 * page, 100), after = memfd_of(page, 200 + seed);
        ok(rig_map(&g->rig, beside, 0, 3 * page, page, VHOST_USER_FLAG_MAP_RW));
        ok(rig_map(&g->rig, beside, page, 5 * page, page, VHOST_USER_FLAG_MAP_RW));
        ok(rig_map(&g->rig, before, 0, 4 * page, page, VHOST_USER_FLAG_MAP_RW));
        guest_shows(c, 4 * page, seed, 0);
        ok(rig_unmap(&g->rig, 4 * page, page));

        guest_store(c, 4 * page, 0xdeadbeef);
        guest_store(c, 5 * page - 4, 0xdeadbeef);
        guest_store(c, 4 * page + 8, 0xdeadbeef);
        ok(rig_map(&g->rig, after, 0, 4 * page, page, rw));
        guest_shows(c, 4 * page, 200 + seed, 0);
        guest_shows(c, 4 * page + 8, 200 + seed, 8);
        guest_shows(c, 5 * page - 8, 200 + seed, page - 8);

        file_is_untouched(before, page, seed);
        file_is_untouched(beside, 2 * page, 100);
        file_is_untouched(after, page, 200 + seed);
        EQ(vhushmem_device_unmap_all(g->rig.device), 3);
        close(before);
        close(beside);
        close(after);
    }
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
