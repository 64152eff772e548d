/* SPDX-License-Identifier: BSD-3-Clause */
/* An unmap of less than one mapping, of more, or of another range is refused with EINVAL. The message says what is mapped
   there. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(8 * page, 1);
    ok(rig_map(r, fd, 0, 4 * page, 4 * page, 0));
    ok(rig_map(r, fd, 0, 8 * page, page, 0));
    rig_refuses(r, rig_unmap(r, 4 * page, page), -EINVAL, hex(4 * page));
    rig_refuses(r, rig_unmap(r, 4 * page, 3 * page), -EINVAL, hex(3 * page), hex(4 * page));
    rig_refuses(r, rig_unmap(r, 5 * page, page), -EINVAL, hex(5 * page), hex(4 * page));
    rig_refuses(r, rig_unmap(r, 7 * page, page), -EINVAL, hex(7 * page), hex(4 * page));
    rig_refuses(r, rig_unmap(r, 4 * page, 4 * page - 1), -EINVAL, hex(4 * page - 1));
    rig_refuses(r, rig_unmap(r, 4 * page, 4 * page + 1), -EINVAL, hex(4 * page + 1));
    rig_refuses(r, rig_unmap(r, 4 * page, 5 * page), -EINVAL, hex(5 * page), hex(4 * page));
    rig_refuses(r, rig_unmap(r, 3 * page, 5 * page), -EINVAL, hex(3 * page), hex(4 * page));
    rig_refuses(r, rig_unmap(r, 0, 16 * page), -EINVAL);
    shows(r->region, 4 * page, 4 * page, 1, 0);
    ok(rig_unmap(r, 4 * page, 4 * page));
    ok(rig_unmap(r, 8 * page, page));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
