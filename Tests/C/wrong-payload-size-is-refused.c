/* SPDX-License-Identifier: BSD-3-Clause */
/* A MAP or UNMAP whose payload is not exactly 40 bytes is refused with EINVAL. The channel lives on. */
#include "rig.h"

int main(void)
{
    static const uint32_t sizes[] = {0, 1, 39, 41, 48, 64};
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    int fd = memfd_of(PAGE, 1);
    uint8_t payload[4096] = {0};
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    memcpy(payload, &m, sizeof(m));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        rig_refuses(&r, rig_request(&r, MAP, payload, sizes[i], &fd, 1), -EINVAL);
        rig_refuses(&r, rig_request(&r, UNMAP, payload, sizes[i], NULL, 0), -EINVAL);
    }
    ok(rig_request(&r, MAP, payload, 40, &fd, 1));
    shows(r.region, 0, PAGE, 1, 0);
    ok(rig_request(&r, UNMAP, payload, 40, NULL, 0));
    close(fd);
    rig_close(&r);
    return 0;
}
