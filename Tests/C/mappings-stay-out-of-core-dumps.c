/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings and holes are left out of core dumps (MADV_DONTDUMP), and are never executable. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    char *window = vhushmem_region_window(r->region);
    int fd = memfd_of(8 * page, 1), sealed = memfd_of(page, 2);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    ok(rig_map(r, fd, 0, 0, 2 * page, 0));
    ok(rig_map(r, fd, 0, 4 * page, page + 1, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(r, sealed, 0, 8 * page, page, 0));
    for (uint64_t at = 0; at < vhushmem_region_size(r->region); at += page) {
        char *flags = vm_flags_at(window + at);
        bool mapped = at < 2 * page || at == 4 * page || at == 5 * page || at == 8 * page;
        CHECK(!mapped || strstr(flags, " dd ") != NULL);
        CHECK(strstr(flags, " ex ") == NULL);
        CHECK(strchr(perms_at(window + at), 'x') == NULL);
        g_free(flags);
    }
    close(fd);
    close(sealed);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
