/* SPDX-License-Identifier: BSD-3-Clause */
/* A memfd that is sealed against writing shows its content through a read-only map. A read-write map is refused with EPERM. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    static const int seals[] = {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL};
    for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
        int fd = memfd_of(2 * page + 100, i);
        CHECK(fcntl(fd, F_ADD_SEALS, seals[i]) == 0);
        rig_refuses(r, rig_map(r, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW), -EPERM);
        ok(rig_map(r, fd, 0, 0, 2 * page + 100, 0));
        shows(r->region, 0, 2 * page, i, 0);
        EQ(word_at(r->region, 2 * page), pattern(i, 2 * page));
        char *window = vhushmem_region_window(r->region);
        CHECK(perms_at(window)[0] == 'r' && perms_at(window)[1] == '-' && perms_at(window)[2] == '-');
        CHECK(!writable(window));
        CHECK(vhushmem_region_translate(r->region, 0, page, true) == NULL);
        CHECK(vhushmem_region_translate(r->region, 0, page, false) == window);
        ok(rig_unmap(r, 0, 2 * page + 100));

        int reader = read_only(fd);
        ok(rig_map(r, reader, page, 0, page, 0));
        shows(r->region, 0, page, i, page);
        ok(rig_unmap(r, 0, page));
        close(reader);
        close(fd);
    }
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
