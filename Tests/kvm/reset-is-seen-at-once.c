/* SPDX-License-Identifier: BSD-3-Clause */
/* After a reset, and after the back-end has gone, the guest sees holes where files were, and goes on. */
#include "guest.h"

static void map_three(guest *g, int fd)
{
    uint64_t page = PAGE;
    for (uint64_t i = 0; i < 3; i++) {
        ok(rig_map(&g->rig, fd, i * page, 2 * i * page, page, i % 2));
        guest_shows(&g->vcpu, 2 * i * page, 1, i * page);
    }
}

static void sees_nothing(guest *g)
{
    uint64_t page = PAGE;
    for (uint64_t i = 0; i < 3; i++) {
        EQ(guest_load(&g->vcpu, 2 * i * page + 4), 0);
    }
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    int fd = memfd_of(3 * page, 1);
    map_three(g, fd);
    EQ(vhushmem_device_unmap_all(g->rig.device), 3);
    sees_nothing(g);
    if (g->rig.wire) {
        map_three(g, fd);
        ok(vhushmem_frontend_reset(g->rig.frontend, &error));
        sees_nothing(g);
        PUMP_UNTIL(g->rig.frontend, g->rig.events[VHUSHMEM_EVENT_RESET] == 1);
        map_three(g, fd);
        shutdown(g->rig.channel, SHUT_RDWR);
        PUMP_UNTIL(g->rig.frontend, g->rig.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
        sees_nothing(g);
    }
    EQ(vhushmem_device_mapping_count(g->rig.device), 0);
    file_is_untouched(fd, 3 * page, 1);
    close(fd);
}

int main(void)
{
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
