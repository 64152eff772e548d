/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reset of a device with many mappings undoes some at once and the rest in the turns that follow. In between the books are right, nothing
 * is mapped and no second reset begins; RESET tells when all is gone. The connection may end meanwhile, and the front-end be freed.
 */
#include "rig.h"

#define MANY 20000

static int file;

static void open_full(rig *r)
{
    rig_open(r, MANY * PAGE, NULL);
    for (uint64_t i = 0; i < MANY; i++) { /* two neighbours are two mappings for the kernel, too */
        ok(vhushmem_region_map(r->region, file, i % 2 * PAGE, i * PAGE, PAGE, 0, &error));
    }
}

static uint64_t left(const rig *r) { return vhushmem_region_mapping_count(r->region); }

/* As many as are said to be there can be found, from the last one down. */
static void books_are_right(rig *r)
{
    uint64_t count = left(r);
    for (uint64_t i = 0; i < MANY; i += MANY / 50) {
        bool there = i >= MANY - count;
        EQ(vhushmem_region_translate(r->region, i * PAGE, PAGE, false) != NULL, there);
        EQ(readable((char *)vhushmem_region_window(r->region) + i * PAGE), there);
    }
}

static void begin(rig *r)
{
    ok(vhushmem_frontend_reset(r->frontend, &error));
    CHECK(left(r) > 0 && left(r) <= MANY - 256);
    books_are_right(r);
}

static void in_turns(void)
{
    rig r;
    open_full(&r);
    begin(&r);
    refused(vhushmem_frontend_reset(r.frontend, &error), -EALREADY);
    message answer;
    VhostUserMMap map = mmap_of(0, 0, 0, PAGE, 0);
    send_message(r.channel, MAP, 0x9, &map, sizeof(map), &file, 1);
    for (uint64_t before = left(&r); before > 0; before = left(&r)) {
        EQ(r.events[VHUSHMEM_EVENT_RESET], 0);
        ok(vhushmem_frontend_dispatch(r.frontend));
        CHECK(left(&r) < before);
        books_are_right(&r);
    }
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    EQ(receive(r.channel, &answer, PATIENCE_MS), 1);
    EQ((int64_t)u64_of(&answer), -ECANCELED);
    ok(wire_map(&r, 0, file, 0, 0, PAGE, 0));
    EQ(left(&r), 1);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    EQ(left(&r), 0);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 2);
    rig_close(&r);
}

static void connection_ends_meanwhile(void)
{
    rig r;
    open_full(&r);
    begin(&r);
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    EQ(left(&r), 0);
    EQ(r.events[VHUSHMEM_EVENT_RESET], 0);
    rig_close(&r);
}

static void freed_meanwhile(void)
{
    rig r;
    char *maps = maps_now();
    open_full(&r);
    begin(&r);
    rig_close(&r);
    same(maps, maps_now());
}

int main(void)
{
    file = memfd_of(2 * PAGE, 1);
    in_turns();
    connection_ends_meanwhile();
    in_turns(); /* what is made once is there */
    freed_meanwhile();
    close(file);
    return 0;
}
