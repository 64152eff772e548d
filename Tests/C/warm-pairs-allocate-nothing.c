/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it replaces malloc itself) */
/* asan: no (it replaces malloc itself) */
/* Once warm, a SHMEM_MAP and a SHMEM_UNMAP allocate no memory, whether they come over the wire or by the C calls. */
#include "rig.h"

static __thread unsigned long allocations;

static void on_allocation(void) { allocations++; }

#include "replaced-malloc.h"

static void pair(rig *r, int fd, uint64_t offset)
{
    ok(rig_map(r, fd, 0, offset, PAGE, VHOST_USER_FLAG_MAP_RW));
    ok(rig_unmap(r, offset, PAGE));
}

static void facts(rig *r)
{
    int fd = memfd_of(PAGE, 1);
    for (uint64_t i = 0; i < 64; i++) {
        ok(rig_map(r, fd, 0, 2 * i * PAGE, PAGE, 0));
    }
    pair(r, fd, 301 * PAGE);
    unsigned long before = allocations;
    for (uint64_t i = 0; i < 100; i++) {
        pair(r, fd, (2 * i + 1) * PAGE);
    }
    EQ(allocations - before, 0);
    CHECK(before > 0);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 512 * PAGE, NULL, NULL);
    return 0;
}
