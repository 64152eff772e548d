/* SPDX-License-Identifier: BSD-3-Clause */
/* If the caller gives the regions, the front-end does not send GET_SHMEM_CONFIG, and the back-end's answer would not matter. */
#include "rig.h"

int main(void)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 4 * PAGE);
    rig_new(&r, NULL);
    refused(vhushmem_frontend_add_region(r.frontend, 7, PAGE + 1, &error), -EINVAL, hex(PAGE + 1));
    refused(vhushmem_frontend_add_region(r.frontend, 7, 0, &error), -EINVAL);
    if (!under_valgrind()) { /* valgrind has its own errno for that */
        refused(vhushmem_frontend_add_region(r.frontend, 7, BIT(60), &error), -ENOMEM, hex(BIT(60)));
    }
    ok(vhushmem_frontend_add_region(r.frontend, 7, 16 * PAGE, &error));
    refused(vhushmem_frontend_add_region(r.frontend, 7, 16 * PAGE, &error), -EEXIST);
    ok(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error));
    refused(vhushmem_frontend_add_region(r.frontend, 8, 16 * PAGE, &error), -EBUSY);
    rig_connected(&r);
    CHECK(peer_heard(&r.peer, GET_SHMEM_CONFIG, 0) == NULL);
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), 1);
    EQ(r.shmid, 7);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
