/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapped file is the guest's memory. The guest reads and writes it through the one slot, without an exit to the run loop. */
#include "guest.h"

static void facts(guest *g)
{
    uint64_t page = PAGE;
    int one = memfd_of(8 * page, 1), two = memfd_of(2 * page, 2);
    vcpu *c = &g->vcpu;

    ok(rig_map(&g->rig, one, 2 * page, 3 * page, 4 * page, 0));
    ok(rig_map(&g->rig, two, 0, 7 * page, 2 * page, VHOST_USER_FLAG_MAP_RW));
    for (uint64_t i = 0; i < 4; i++) {
        guest_shows(c, (3 + i) * page, 1, (2 + i) * page);
        guest_shows(c, (4 + i) * page - 8, 1, (3 + i) * page - 8);
    }
    guest_shows(c, 9 * page - 8, 2, 2 * page - 8);

    uint32_t sum = 0;
    for (uint64_t offset = 0; offset < page; offset += 8) {
        sum += (uint32_t)pattern(1, 2 * page + offset) + (uint32_t)(pattern(1, 2 * page + offset) >> 32);
    }
    EQ(guest_sum(c, 3 * page, (uint32_t)(page / 4)), sum);

    /* From one file to the other, across the border between two pages. */
    guest_copy(c, 3 * page + 100, 8 * page - 1000, 2000);
    uint8_t wanted[2000], seen[2000];
    EQ(pread(one, wanted, 2000, (off_t)(2 * page + 100)), 2000);
    EQ(pread(two, seen, 2000, (off_t)(page - 1000)), 2000);
    EQ(memcmp(wanted, seen, 2000), 0);

    /* Both sides see one memory. */
    guest_store(c, 7 * page, 0x12345678);
    uint32_t word = 0;
    EQ(pread(two, &word, 4, 0), 4);
    EQ(word, 0x12345678);
    word = 0x9abcdef0;
    EQ(pwrite(two, &word, 4, 4), 4);
    EQ(guest_exchange(c, 7 * page + 4, 1), 0x9abcdef0);
    EQ(pread(two, &word, 4, 4), 4);
    EQ(word, 1);

    EQ(fault_count(c), 0);
    file_is_untouched(one, 8 * page, 1);
    close(one);
    close(two);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    return 0;
}
