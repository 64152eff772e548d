/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_get_shmem_config tells exactly what the back-end said. Its regions can be made once with virtio_new_shmem_region. */
#include "rig.h"

#include <vhushmem/series.h>

static uint64_t sizes[VIRTIO_MAX_SHMEM_REGIONS];
static int count;

static void asked(rig *r)
{
    refused(vhost_get_shmem_config(r->frontend, &count, sizes, &error), -ENOTCONN);
    ok(vhushmem_frontend_connect(r->frontend, PATIENCE_MS, &error));
    memset(sizes, 0xff, sizeof(sizes));
    ok(vhost_get_shmem_config(r->frontend, &count, sizes, &error));
}

static void sizes_are(unsigned shmid, uint64_t size)
{
    for (unsigned i = 0; i < VIRTIO_MAX_SHMEM_REGIONS; i++) {
        EQ(sizes[i], size != 0 && i == shmid ? size : 0);
    }
    EQ(count, size != 0);
}

int main(void)
{
    uint64_t page = PAGE;
    rig r;

    /* The back-end's own regions only, not the program's. */
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 5, 4 * page);
    rig_new(&r, NULL);
    some(virtio_new_shmem_region(r.device, 200, page));
    asked(&r);
    sizes_are(5, 4 * page);
    CHECK(virtio_new_shmem_region(r.device, 5, 8 * page) == NULL);
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(r.device, 5, 4 * page));
    CHECK(shmem == vhushmem_device_find_region(r.device, 5));
    CHECK(virtio_new_shmem_region(r.device, 5, 4 * page) == NULL); /* there is one already */
    refused(virtio_add_shmem(r.device, 5, 4 * page, &error), -EEXIST);
    CHECK(virtio_new_shmem_region(r.device, 200, page) == NULL);
    rig_close(&r);

    /* The program gave the regions, so the back-end was not asked. */
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 5, 4 * page);
    rig_new(&r, NULL);
    ok(vhushmem_frontend_add_region(r.frontend, 7, 16 * page, &error));
    asked(&r);
    sizes_are(0, 0);
    rig_close(&r);

    /* SHMEM was not negotiated. */
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 5, 4 * page);
    r.peer.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_SHMEM);
    rig_new(&r, NULL);
    asked(&r);
    sizes_are(0, 0);
    rig_close(&r);
    return 0;
}
