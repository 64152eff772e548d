/* SPDX-License-Identifier: BSD-3-Clause */
/* A read-only request on a file that is open for writing gives the guest no write access. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    char *window = vhushmem_region_window(r->region);
    ok(rig_map(r, fd, 0, 0, page, 0));
    shows(r->region, 0, page, 1, 0);
    CHECK(strcmp(perms_at(window), "r--s") == 0);
    CHECK(!writable(window));
    CHECK(vhushmem_region_translate(r->region, 0, 1, true) == NULL);
    ok(rig_map(r, fd, 0, page, page, VHOST_USER_FLAG_MAP_RW));
    CHECK(strcmp(perms_at(window + page), "rw-s") == 0);

    /* Both are the same memory. */
    *(volatile uint64_t *)(window + page) = 42;
    EQ(word_at(r->region, 0), 42);
    uint64_t in_file = 0;
    EQ(pread(fd, &in_file, 8, 0), 8);
    EQ(in_file, 42);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
