/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest touches a page of a file that was truncated under its mapping. It goes on, and so does the VMM: no signal comes. */
#include "guest.h"

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    int fd = memfd_of(4 * page, 1);
    ok(rig_map(&g->rig, fd, 0, 4 * page, 4 * page, VHOST_USER_FLAG_MAP_RW));
    guest_shows(c, 6 * page, 1, 2 * page);
    CHECK(ftruncate(fd, (off_t)(2 * page)) == 0);

    if (try_call(c, ROUTINE_LOAD) < 0) {
        skip("this kernel does not say where its guest failed");
    }
    EQ(guest_load(c, 6 * page), 0);
    guest_store(c, 6 * page + 8, 1);
    guest_store(c, 7 * page, 1); /* the guest has not read it before */
    CHECK(fault_count(c) > 0);
    EQ(lseek(fd, 0, SEEK_END), 2 * (off_t)page);

    guest_shows(c, 4 * page, 1, 0);
    guest_shows(c, 6 * page - 8, 1, 2 * page - 8);
    file_is_untouched(fd, 2 * page, 1);
    ok(rig_unmap(&g->rig, 4 * page, 4 * page));
    EQ(guest_load(c, 4 * page + 4), 0);
    close(fd);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    return 0;
}
