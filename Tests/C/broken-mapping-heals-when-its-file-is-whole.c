/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping whose file has lost pages is broken once somebody touches them. BROKEN comes once, and HEALED once when the file
 * has them all again, from a front-end and from a channel. The flag in vhushmem_mapping_info agrees throughout.
 */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "channel-rig.h"
#include "dax-rig.h"

static bool object_is_broken(vhushmem_mapping *mapping)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_mapping_get_info(mapping, &info), 1);
    return info.broken;
}

static void by_front_end(void)
{
    rig r;
    rig_open(&r, 64 * PAGE, NULL);
    int file = memfd_of(8 * PAGE, 1);
    ok(rig_map(&r, file, 0, 0, 8 * PAGE, VHOST_USER_FLAG_MAP_RW));
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(r.region, 0, 8 * PAGE));
    for (int round = 1; round <= 3; round++) {
        CHECK(ftruncate(file, (off_t)(2 * PAGE)) == 0);
        pump(r.frontend);
        CHECK(!is_broken(r.region, 0) && !object_is_broken(mapping)); /* nobody has touched it */
        touch_missing(&r, 3 * PAGE, BY_THREAD);
        touch_missing(&r, 6 * PAGE, BY_GUEST_READ);
        CHECK(is_broken(r.region, 0) && object_is_broken(mapping));
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == round);
        EQ(r.last.result, -EIO);
        EQ(r.last.shm_offset, 0);
        EQ(r.last.len, 8 * PAGE);

        /* Half of it comes back: the mapping stays broken. */
        fill(file, 5 * PAGE, 1);
        EQ(vhushmem_region_heal(r.region), 1);
        EQ(word_at(r.region, 3 * PAGE), pattern(1, 3 * PAGE));
        CHECK(is_broken(r.region, 0) && object_is_broken(mapping));
        pump(r.frontend);
        EQ(r.events[VHUSHMEM_EVENT_HEALED], round - 1);

        fill(file, 8 * PAGE, 1);
        if (round == 2) {
            EQ(vhushmem_region_heal(r.region), 0);
            CHECK(!is_broken(r.region, 0));
        }
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_HEALED] == round);
        EQ(r.last.type, VHUSHMEM_EVENT_HEALED);
        EQ(r.last.result, 0);
        EQ(r.last.shm_offset, 0);
        EQ(r.last.len, 8 * PAGE);
        EQ(r.events[VHUSHMEM_EVENT_BROKEN], round);
        CHECK(!is_broken(r.region, 0) && !object_is_broken(mapping));
        shows(r.region, 0, 8 * PAGE, 1, 0);
        writes_reach(&r, file, 3 * PAGE, 3 * PAGE);
        fill(file, 8 * PAGE, 1);
    }
    vhushmem_mapping_unref(mapping);
    close(file);
    rig_close(&r);
}

static void pump_channel_once(channel_rig *r)
{
    if (wait_readable((int)ok(vhushmem_channel_get_fd(r->channel)), 10)) {
        vhushmem_channel_dispatch(r->channel);
    }
}

static void by_channel(void)
{
    channel_rig r;
    channel_rig_open(&r, NULL);
    int file = memfd_of(4 * PAGE, 1);
    ok(channel_rig_map(&r, file, 4 * PAGE, 4 * PAGE));
    CHECK(ftruncate(file, 0) == 0);
    ok(vhushmem_resolve_guest_fault(r.region, 5 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    STEP_UNTIL(r.events[VHUSHMEM_EVENT_BROKEN] == 1, pump_channel_once(&r));
    EQ(r.last.result, -EIO);
    EQ(r.last.shm_offset, 4 * PAGE);
    CHECK(is_broken(r.region, 4 * PAGE));
    fill(file, 4 * PAGE, 1);
    STEP_UNTIL(r.events[VHUSHMEM_EVENT_HEALED] == 1, pump_channel_once(&r));
    EQ(r.last.result, 0);
    EQ(r.last.shm_offset, 4 * PAGE);
    EQ(r.last.len, 4 * PAGE);
    CHECK(!is_broken(r.region, 4 * PAGE));
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 1);
    shows(r.region, 4 * PAGE, 4 * PAGE, 1, 0);
    close(file);
    channel_rig_close(&r);
}

int main(void)
{
    guard_begin();
    by_front_end();
    by_channel();
    return 0;
}
