/* SPDX-License-Identifier: BSD-3-Clause */
/* A MAP that comes without a descriptor is refused with EINVAL. The C call with a closed one fails with EBADF. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    rig_refuses(&r, rig_request(&r, MAP, &m, sizeof(m), NULL, 0), -EINVAL);
    rig_refuses(&r, vhushmem_region_map(r.region, -1, 0, 0, page, 0, &error), -EBADF);
    rig_refuses(&r, vhushmem_region_map(r.region, 9999, 0, 0, page, 0, &error), -EBADF);
    rig_close(&r);
    return 0;
}
