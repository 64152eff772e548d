/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping with its own slot is replaced in place. The guest sees the new file. It can write if the mapping is read-write
 * now; if it is read-only, its writes reach no file. A refused replacement leaves the slot unchanged and uses none up.
 */
#include "slots.h"

int main(void)
{
    slots_rig s;
    vcpu c;
    slots_begin(&s, 1, VHUSHMEM_REGION_REPLACE);
    vcpu_open(&c, &s.vm, 0);
    int first = memfd_of(2 * PAGE, 1), second = memfd_of(2 * PAGE, 2), reader = read_only(first);
    ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
    ok(vhushmem_region_map(s.rig.region, first, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    guest_shows(&c, 4 * PAGE, 1, 0);
    for (int round = 0; round < 10; round++) {
        uint32_t seen = 0, word = 70 + (uint32_t)round;
        /* Read-only: the write is an exit, and reaches no file. */
        int exits = fault_count(&c);
        guest_store(&c, 5 * PAGE + 16, word);
        CHECK(fault_count(&c) > exits);
        CHECK(pread(first, &seen, 4, (off_t)PAGE + 16) == 4 && seen != word);

        EQ(vhushmem_region_map(s.rig.region, reader, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, NULL), -EACCES);
        guest_shows(&c, 4 * PAGE, 1, 0);
        EQ(slot_count(&s), 2);

        ok(vhushmem_region_map(s.rig.region, second, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
        guest_shows(&c, 4 * PAGE, 2, 0);
        guest_shows(&c, 5 * PAGE, 2, PAGE);
        exits = fault_count(&c);
        guest_store(&c, 5 * PAGE + 16, word);
        CHECK(pread(second, &seen, 4, (off_t)PAGE + 16) == 4);
        EQ(seen, word);
        EQ(fault_count(&c), exits);
        EQ(slot_count(&s), 2);

        ok(vhushmem_region_map(s.rig.region, first, 0, 4 * PAGE, 2 * PAGE, 0, &error));
        guest_shows(&c, 4 * PAGE, 1, 0);
        guest_shows(&c, 5 * PAGE, 1, PAGE);
    }
    ok(vhushmem_region_unmap(s.rig.region, 4 * PAGE, 2 * PAGE, &error));
    EQ(slot_count(&s), 0);
    ok(vhushmem_region_map(s.rig.region, second, 0, 0, PAGE, 0, &error));
    EQ(slot_count(&s), 1);
    close(first);
    close(second);
    close(reader);
    vcpu_close(&c);
    slots_end(&s);
    return 0;
}
