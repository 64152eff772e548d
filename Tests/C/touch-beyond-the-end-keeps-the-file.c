/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread or a guest touches a page beyond the end of its file, and then the file grows. Its bytes are seen and writes
 * reach it, once the page's time is over and something came after it. The mapping was never broken, since the file has lost
 * nothing.
 */
/* valgrind: no (its mremap makes no second mapping of a page) */
#include "dax-rig.h"

static void facts(bool named, int by, int after)
{
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &dax_options};
    rig_open(&r, 64 * PAGE, &options);
    int file = dax_file(named, PAGE + 200, 1), elsewhere = memfd_of(PAGE, 9);
    ok(rig_map(&r, file, 0, 0, 16 * PAGE, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(&r, elsewhere, 0, 32 * PAGE, PAGE, 0));
    for (uint64_t page = 2; page < 16; page += 3) {
        touch_missing(&r, page * PAGE, by);
    }
    /* The rest of the file's last page belongs to the file. */
    EQ(word_at(r.region, PAGE + 208), 0);
    CHECK(!is_broken(r.region, 0));

    fill(file, 12 * PAGE, 1); /* an append, by anybody */
    let_them_come_back(&r, 0, 12, 1, after, 32 * PAGE);
    for (uint64_t page = 2; page < 12; page++) {
        writes_reach(&r, file, page * PAGE, page * PAGE);
    }
    CHECK(!is_broken(r.region, 0));
    /* A page that is still beyond the end, and later is not. */
    touch_missing(&r, 14 * PAGE, by);
    touch_missing(&r, 13 * PAGE, by);
    fill(file, 16 * PAGE, 2);
    let_them_come_back(&r, 0, 16, 2, after, 32 * PAGE);
    CHECK(!is_broken(r.region, 0));
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 0);
    EQ(r.events[VHUSHMEM_EVENT_HEALED], 0);
    ok(rig_unmap(&r, 0, 16 * PAGE));
    rig_still_works(&r);
    close(file);
    close(elsewhere);
    rig_close(&r);
}

int main(void)
{
    guard_begin();
    for (int named = 0; named < 2; named++) {
        for (int by = 0; by < TOUCHERS; by++) {
            for (int after = 0; after < AFTERS; after++) {
                facts(named, by, after);
            }
        }
    }
    return 0;
}
