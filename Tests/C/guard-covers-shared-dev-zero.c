/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shared mapping of /dev/zero is memory of the mapping's length; the file offset does not count for it. A touch behind
 * that length raises SIGBUS. With the guard that memory shows zeros, the mapping is broken, and its neighbours are as
 * before.
 */
#include "guard-rig.h"

static void facts(rig *r, uint64_t flags, uint64_t fd_offset, bool has_lost)
{
    uint64_t page = PAGE;
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC), other = memfd_of(page, 1), before = sigbus_count;
    int told = r->events[VHUSHMEM_EVENT_BROKEN];
    char *maps = window_now(r->region);
    CHECK(zero >= 0);
    ok(rig_map(r, other, 0, page, page, 0));
    ok(rig_map(r, zero, fd_offset, 2 * page, 4 * page, flags));
    ok(rig_map(r, other, 0, 6 * page, page, 0));
    volatile uint64_t *words = (volatile uint64_t *)((char *)vhushmem_region_window(r->region) + 2 * page);
    for (uint64_t i = 0; i < 4; i++) {
        EQ(words[i * page / 8], 0);
        if (flags & VHOST_USER_FLAG_MAP_RW) {
            words[i * page / 8] = i + 1;
            EQ(words[i * page / 8], i + 1);
        }
    }
    EQ(sigbus_count > before, has_lost);
    EQ(is_broken(r->region, 2 * page), has_lost);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_BROKEN] == told + has_lost);
    shows(r->region, page, page, 1, 0);
    shows(r->region, 6 * page, page, 1, 0);
    ok(rig_unmap(r, page, page));
    ok(rig_unmap(r, 2 * page, 4 * page));
    ok(rig_unmap(r, 6 * page, page));
    same(maps, window_now(r->region));
    close(zero);
    close(other);
}

int main(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    guard_begin();
    for (uint64_t flags = 0; flags <= VHOST_USER_FLAG_MAP_RW; flags += VHOST_USER_FLAG_MAP_RW) {
        facts(&r, flags, 0, false);
        facts(&r, flags, PAGE, true);     /* the last page is behind the end */
        facts(&r, flags, 4 * PAGE, true); /* all pages are */
        facts(&r, flags, (uint64_t)1 << 40, true);
    }
    printf("note: %d signals\n", sigbus_count);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
