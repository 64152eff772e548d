/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that writes to a read-only mapping goes on. The file, and its other mappings, never show the bytes. */
#include "guest.h"

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    if (!writes_can_be_resolved(c, 15 * page)) {
        skip("this kernel does not say where its guest failed");
    }
    /* One file is open for writing nevertheless: the requested access decides. Nobody could write to the other. */
    int fd = memfd_of(4 * page, 1), barred = read_only(fd);
    ok(rig_map(&g->rig, fd, 0, 0, 2 * page, 0));
    ok(rig_map(&g->rig, barred, 2 * page, 4 * page, 2 * page, 0));
    ok(rig_map(&g->rig, fd, 0, 8 * page, 4 * page, VHOST_USER_FLAG_MAP_RW));

    guest_store(c, 16, 0xdeadbeef);           /* never read before */
    guest_shows(c, page, 1, page);            /* read, */
    guest_store(c, page, 0xdeadbeef);         /* and then written */
    guest_store(c, 2 * page - 4, 0xdeadbeef); /* its last word */
    guest_store(c, 5 * page + 8, 0xdeadbeef); /* of the file that is open for reading only */
    guest_exchange(c, 4 * page, 0xdeadbeef);  /* read and written at once */
    guest_copy(c, 8 * page, page + 200, 40);  /* byte by byte */
    guest_copy(c, 8 * page, 2 * page - 20, 20);
    CHECK(fault_count(c) > 0);
    file_is_untouched(fd, 4 * page, 1);

    /* Bytes that the guest did not write are the file's as before. The writable window still works. */
    guest_shows(c, 4 * page + 8, 1, 2 * page + 8);
    guest_shows(c, 8 * page, 1, 0);
    guest_shows(c, 9 * page, 1, page);
    guest_store(c, 11 * page, 7);
    uint32_t word = 0;
    EQ(pread(fd, &word, 4, (off_t)(3 * page)), 4);
    EQ(word, 7);
    EQ(guest_load(c, 5 * page + 4), pattern(1, 3 * page) >> 32);

    /* Mapped again, it is the file again. */
    ok(rig_unmap(&g->rig, 0, 2 * page));
    ok(rig_map(&g->rig, fd, 0, 0, 2 * page, 0));
    guest_shows(c, 16, 1, 16);
    guest_shows(c, page, 1, page);
    guest_shows(c, 2 * page - 8, 1, 2 * page - 8);
    close(fd);
    close(barred);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
