/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program itself has used up vm.max_map_count. A map is refused with ENOSPC, the window keeps its reservation, and
 * mappings can be undone. All works again when the program has given something back.
 */
/* valgrind: no (it keeps fewer segments than the kernel) */
/* asan: no (its own memory needs mappings too) */
#include "memory-rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE, count = 0, limit = (uint64_t)max_map_count_or_skip();
    int fd = memfd_of(2 * page, 1);
    /* Single pages, which the kernel cannot merge with their neighbours. */
    char *own = mmap(NULL, 2 * limit * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(own != MAP_FAILED);
    ok(rig_map(r, fd, 0, 0, page, 0));
    char *before = window_now(r->region);
    while (mprotect(own + 2 * count * page, page, PROT_READ) == 0) {
        count++;
        CHECK(count < limit);
    }
    CHECK(errno == ENOMEM);
    EQ(rig_map(r, fd, 0, 4 * page, page, 0), -ENOSPC);
    g_clear_error(&error);
    EQ(rig_map(r, fd, page, 8 * page, page, VHOST_USER_FLAG_MAP_RW), -ENOSPC);
    g_clear_error(&error);
    same(before, window_now(r->region));

    /* A mapping can go, and come again in its place. */
    ok(rig_unmap(r, 0, page));
    ok(rig_map(r, fd, 0, 0, page, 0));
    shows(r->region, 0, page, 1, 0);

    munmap(own, 2 * limit * page);
    ok(rig_map(r, fd, page, 8 * page, page, VHOST_USER_FLAG_MAP_RW));
    shows(r->region, 8 * page, page, 1, page);
    ok(rig_unmap(r, 8 * page, page));
    ok(rig_unmap(r, 0, page));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
