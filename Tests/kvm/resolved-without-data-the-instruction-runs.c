/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_resolve_guest_fault prepares memory for an instruction that has not run. The guest sees it under the live slot:
 * zeros, or private memory with the same bytes. The guest's next access causes no exit, and no file sees it.
 */
#include "guest.h"

static void resolve(guest *g, uint64_t offset, uint32_t access)
{
    EQ(vhushmem_resolve_guest_fault(g->rig.region, offset, 4, access, NULL), 0);
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    int fd = memfd_of(4 * page, 1);
    ok(rig_map(&g->rig, fd, 0, 4 * page, 2 * page, 0));
    ok(rig_map(&g->rig, fd, 2 * page, 6 * page, 2 * page, VHOST_USER_FLAG_MAP_RW));

    /* A write to a hole, before the guest knows the page and after it has seen zeros there. */
    resolve(g, 16, VHUSHMEM_ACCESS_WRITE);
    guest_store(c, 16, 0xdeadbeef);
    EQ(guest_load(c, 16), 0xdeadbeef);
    EQ(guest_exchange(c, 20, 7), 0);
    EQ(guest_exchange(c, 20, 8), 7);
    resolve(g, page, VHUSHMEM_ACCESS_READ);
    EQ(guest_load(c, page), 0);
    EQ(guest_load(c, 15 * page), 0); /* all holes */
    resolve(g, page, VHUSHMEM_ACCESS_WRITE);
    guest_store(c, page, 0xdeadbeef);
    EQ(guest_load(c, page), 0xdeadbeef);

    /* A write to a read-only mapping where the guest has read before. The exit does not tell the kind of access. */
    guest_shows(c, 4 * page, 1, 0);
    resolve(g, 4 * page, VHUSHMEM_ACCESS_WRITE);
    /* The first time it may have been a read, which works. When the same page comes again, it was a write. */
    resolve(g, 5 * page, VHUSHMEM_ACCESS_UNKNOWN);
    resolve(g, 5 * page, VHUSHMEM_ACCESS_UNKNOWN);
    for (uint64_t offset = 4 * page; offset < 6 * page; offset += page) {
        guest_shows(c, offset, 1, offset - 4 * page);
        guest_store(c, offset + 8, 0xdeadbeef);
        EQ(guest_load(c, offset + 8), 0xdeadbeef);
        EQ(guest_exchange(c, offset + 16, 7), pattern(1, offset - 4 * page + 16) & UINT32_MAX);
        guest_shows(c, offset + page - 8, 1, offset - 3 * page - 8);
    }
    /* If a write is allowed, nothing has to be made. */
    resolve(g, 6 * page, VHUSHMEM_ACCESS_WRITE);
    guest_shows(c, 6 * page, 1, 2 * page);
    EQ(fault_count(c), 0);
    file_is_untouched(fd, 4 * page, 1);

    /* The private pages go with the mapping. Those of holes go when something is mapped there. */
    ok(rig_unmap(&g->rig, 4 * page, 2 * page));
    EQ(guest_load(c, 4 * page + 8), 0);
    ok(rig_map(&g->rig, fd, 0, 0, 4 * page, 0));
    guest_shows(c, 16, 1, 16);
    guest_shows(c, page, 1, page);
    file_is_untouched(fd, 4 * page, 1);
    close(fd);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
