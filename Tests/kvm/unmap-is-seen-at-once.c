/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest sees an unmap when the call has returned, or when the answer is there, even in the middle of a loop. */
#include "guest.h"

static uint64_t place;

static void *wait_for_the_end(void *vcpu_of_thread)
{
    return (void *)(uintptr_t)guest_until_not(vcpu_of_thread, place, pattern(1, 0) >> 32, UINT32_MAX);
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    int fd = memfd_of(4 * page, 1);
    for (int i = 0; i < 10; i++) {
        ok(rig_map(&g->rig, fd, page, 4 * page, 2 * page, (uint64_t)(i % 2)));
        ok(rig_map(&g->rig, fd, 0, 6 * page, page, 0));
        guest_shows(c, 4 * page + 8, 1, page + 8);
        guest_shows(c, 6 * page + 8, 1, 8);
        ok(rig_unmap(&g->rig, 4 * page, 2 * page));
        EQ(guest_load(c, 4 * page + 8), 0);
        EQ(guest_load(c, 6 * page - 4), 0);
        guest_shows(c, 6 * page + 8, 1, 8); /* its neighbour is there */
        ok(rig_unmap(&g->rig, 6 * page, page));
        EQ(guest_load(c, 6 * page + 12), 0);
    }

    for (uint64_t i = 1; i < 6; i++) {
        pthread_t thread;
        void *seen;
        place = i * page + 4;
        ok(rig_map(&g->rig, fd, 0, i * page, page, 0));
        CHECK(pthread_create(&thread, NULL, wait_for_the_end, c) == 0);
        usleep(20000);
        ok(rig_unmap(&g->rig, i * page, page));
        CHECK(pthread_join(thread, &seen) == 0);
        EQ(seen, 0);
    }
    file_is_untouched(fd, 4 * page, 1);
    close(fd);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
