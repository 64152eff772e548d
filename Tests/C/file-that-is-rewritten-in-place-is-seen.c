/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host truncates a mapped file and writes it again, and in between somebody touches pages of it. Afterwards the window
 * shows the new bytes, writes reach the file, and the mapping, which was broken, is whole.
 */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "dax-rig.h"

static void facts(bool named, int by, int after, uint64_t flags)
{
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &dax_options};
    rig_open(&r, 64 * PAGE, &options);
    int file = dax_file(named, 8 * PAGE, 1), elsewhere = memfd_of(PAGE, 9);
    ok(rig_map(&r, file, 0, 0, 16 * PAGE, flags));
    ok(rig_map(&r, elsewhere, 0, 32 * PAGE, PAGE, 0));
    shows(r.region, 0, 8 * PAGE, 1, 0);
    for (uint64_t round = 2; round < 4; round++) {
        CHECK(ftruncate(file, 0) == 0);
        for (uint64_t page = 0; page < 8; page += 2) {
            touch_missing(&r, page * PAGE, by);
        }
        CHECK(is_broken(r.region, 0));
        fill(file, 8 * PAGE, round);
        let_them_come_back(&r, 0, 8, round, after, 32 * PAGE);
        if (flags & VHOST_USER_FLAG_MAP_RW) {
            for (uint64_t page = 0; page < 8; page++) {
                writes_reach(&r, file, page * PAGE + 16, page * PAGE + 16);
            }
        }
        PUMP_UNTIL(r.frontend, !is_broken(r.region, 0));
        shows(r.region, 0, 8 * PAGE, round, 0);
    }
    /* Pages that the file never had: no loss. */
    touch_missing(&r, 12 * PAGE, BY_GUEST_READ);
    CHECK(!is_broken(r.region, 0));
    ok(rig_unmap(&r, 0, 16 * PAGE));
    close(file);
    close(elsewhere);
    rig_close(&r);
}

int main(void)
{
    guard_begin();
    for (int after = 0; after < AFTERS; after++) {
        for (int named = 0; named < 2; named++) {
            facts(named, BY_THREAD, after, VHOST_USER_FLAG_MAP_RW);
            facts(named, BY_THREAD, after, 0);
            facts(named, BY_GUEST_READ, after, VHOST_USER_FLAG_MAP_RW);
            facts(named, BY_GUEST_READ, after, 0);
            facts(named, BY_GUEST_WRITE, after, VHOST_USER_FLAG_MAP_RW);
        }
    }
    return 0;
}
