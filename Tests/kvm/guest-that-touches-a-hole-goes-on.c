/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that reads, writes, or does both in a hole goes on, in whichever form the host's KVM reports it to the run loop.
 * It reads zeros from a hole without earlier writes. If zeros are mapped, no read comes to the run loop at all.
 */
#include "guest.h"

static uint32_t policy;

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    int fd = memfd_of(2 * page, 1);
    ok(rig_map(&g->rig, fd, 0, 4 * page, 2 * page, VHOST_USER_FLAG_MAP_RW));

    EQ(guest_load(c, 0), 0);
    EQ(guest_load(c, 16 * page - 4), 0);
    EQ(guest_sum(c, 2 * page - 64, 32), 0);
    EQ(policy == VHUSHMEM_HOLES_ZERO, fault_count(c) == 0);

    /* From a hole into a file, and across the file's beginning and end. */
    guest_copy(c, 0, 4 * page + 8, 16);
    uint8_t zeros[16] = {0}, seen[16];
    EQ(pread(fd, seen, 16, 8), 16);
    EQ(memcmp(seen, zeros, 16), 0);
    EQ(guest_load(c, 4 * page - 2), (uint32_t)pattern(1, 0) << 16);
    EQ(guest_load(c, 6 * page - 2), (uint32_t)(pattern(1, 2 * page - 8) >> 48));

    if (!writes_can_be_resolved(c, 0)) {
        skip("this kernel does not say where its guest failed");
    }
    int before = fault_count(c);
    guest_store(c, 8 * page, 0xdeadbeef);
    CHECK(fault_count(c) > before);
    guest_store(c, 16 * page - 4, 0xdeadbeef);
    guest_copy(c, 5 * page, 9 * page + 8, 64); /* out of the file */
    guest_exchange(c, 10 * page, 0xdeadbeef);
    guest_exchange(c, 10 * page, 0xdeadbeef);

    /* Far more places than the library keeps memory for. The guest goes on nevertheless. */
    for (uint64_t i = 0; i < 2 * VHUSHMEM_MAX_SCRATCH_PAGES; i++) {
        guest_store(c, (16 + i) * page + 8 * (i % 8), 0xdeadbeef);
    }
    guest_shows(c, 4 * page, 1, 0);
    guest_shows(c, 5 * page, 1, page);
    EQ(vhushmem_region_mapping_count(g->rig.region), 1);
    close(fd);
}

int main(void)
{
    static const uint32_t policies[] = {VHUSHMEM_HOLES_FAULT, VHUSHMEM_HOLES_ZERO};
    for (int i = 0; i < 2; i++) {
        policy = policies[i];
        with_a_guest(facts, (16 + 2 * VHUSHMEM_MAX_SCRATCH_PAGES) * PAGE, policy);
    }
    return 0;
}
