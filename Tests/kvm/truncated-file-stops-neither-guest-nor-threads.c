/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest and threads of its VMM read a mapping, and its file is truncated to nothing. All go on, and the program is told. */
#include "guest.h"

#include "guard-rig.h"

static vhushmem_region *region;
static int stop, turns[2];

static void *reader(void *user_data)
{
    int *turn = user_data;
    const char *window = vhushmem_region_window(region);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        for (uint64_t i = 4; i < 12; i++) {
            uint64_t seen = *(const volatile uint64_t *)(window + i * PAGE);
            CHECK(seen == 0 || seen == 7 || seen == pattern(1, (i - 4) * PAGE));
        }
        __atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vcpu *c = &g->vcpu;
    pthread_t threads[2];
    int file = memfd_of(8 * page, 1), other = memfd_of(page, 2);
    region = g->rig.region;
    stop = 0;
    ok(rig_map(&g->rig, file, 0, 4 * page, 8 * page, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(&g->rig, other, 0, 12 * page, page, 0));
    guest_shows(c, 6 * page, 1, 2 * page);
    for (int i = 0; i < 2; i++) {
        turns[i] = 0;
        CHECK(pthread_create(&threads[i], NULL, reader, &turns[i]) == 0);
    }
    for (int i = 0; i < 20; i++) {
        guest_load(c, (4 + (uint64_t)i % 8) * page);
    }
    CHECK(ftruncate(file, 0) == 0);
    /* The guest or a thread, whichever comes first, puts zeros there. */
    c->esi = at(11 * page);
    if (try_call(c, ROUTINE_LOAD) < 0) {
        skip("this kernel does not say where its guest failed");
    }
    for (uint64_t i = 0; i < 8; i++) {
        EQ(guest_load(c, (11 - i) * page), 0);
    }
    for (int i = 0; i < 2; i++) {
        int before = __atomic_load_n(&turns[i], __ATOMIC_ACQUIRE);
        STEP_UNTIL(__atomic_load_n(&turns[i], __ATOMIC_ACQUIRE) >= before + 2, usleep(200));
    }
    guest_store(c, 5 * page, 7);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    guest_shows(c, 12 * page, 2, 0);
    if (g->rig.wire) {
        PUMP_UNTIL(g->rig.frontend, g->rig.events[VHUSHMEM_EVENT_BROKEN] == 1);
        EQ(g->rig.last.shm_offset, 4 * page);
    }
    ok(rig_unmap(&g->rig, 4 * page, 8 * page));
    fill(file, 8 * page, 3);
    ok(rig_map(&g->rig, file, 0, 4 * page, 8 * page, 0));
    guest_shows(c, 9 * page, 3, 5 * page);
    close(file);
    close(other);
}

int main(void)
{
    guard_begin();
    with_a_guest(facts, 16 * PAGE, VHUSHMEM_HOLES_FAULT);
    return 0;
}
