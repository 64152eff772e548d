/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest sees a map when the call has returned, or when the answer is there. This holds where it saw a hole or another
 * file before, and in the middle of its loop.
 */
#include "guest.h"

static uint64_t place;

static void *wait_for_a_file(void *vcpu_of_thread)
{
    return (void *)(uintptr_t)guest_until_not(vcpu_of_thread, place + 4, 0, UINT32_MAX);
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    for (uint64_t seed = 1; seed < 20; seed++) {
        int fd = memfd_of(3 * page, seed);
        uint64_t offset = seed % 3 * page;
        EQ(guest_load(c, offset), 0);
        EQ(guest_load(c, offset + 3 * page - 4), 0);
        ok(rig_map(&g->rig, fd, 0, offset, 3 * page, seed % 2));
        guest_shows(c, offset, seed, 0);
        guest_shows(c, offset + page, seed, page);
        guest_shows(c, offset + 3 * page - 8, seed, 3 * page - 8);
        ok(rig_unmap(&g->rig, offset, 3 * page));
        close(fd);
    }

    for (uint64_t seed = 1; seed < 6; seed++) {
        pthread_t thread;
        void *seen;
        int fd = memfd_of(page, seed);
        place = seed * page;
        CHECK(pthread_create(&thread, NULL, wait_for_a_file, c) == 0);
        usleep(20000);
        ok(rig_map(&g->rig, fd, 0, place, page, 0));
        CHECK(pthread_join(thread, &seen) == 0);
        EQ(seen, pattern(seed, 0) >> 32);
        close(fd);
    }
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
