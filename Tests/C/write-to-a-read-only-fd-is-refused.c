/* SPDX-License-Identifier: BSD-3-Clause */
/* A read-write map of a file that is open for reading only is refused with EACCES. A read-only map works. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1), reader = read_only(fd);
    rig_refuses(r, rig_map(r, reader, 0, 0, page, VHOST_USER_FLAG_MAP_RW), -EACCES, hex(page));
    ok(rig_map(r, reader, 0, 0, page, 0));
    shows(r->region, 0, page, 1, 0);
    ok(rig_unmap(r, 0, page));
    close(reader);

    /* A file that is open for writing only cannot be mapped at all. */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int writer = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(writer >= 0);
    rig_refuses(r, rig_map(r, writer, 0, 0, page, 0), -EACCES);
    rig_refuses(r, rig_map(r, writer, 0, 0, page, VHOST_USER_FLAG_MAP_RW), -EACCES);
    close(writer);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
