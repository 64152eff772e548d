/* SPDX-License-Identifier: BSD-3-Clause */
/* The status names each region that is shared with its back-end: its guest address, and how many mappings were told and left
   out. */
#include "shared-region.h"
#include "status-rig.h"

int main(void)
{
    rig r;
    vhushmem_queue queue;
    int file = memfd_of(0x10000, 1), kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vhushmem_guest_memory ram = memory_of(0, 0x10000, file, 0);
    device_rig_slots = 3; /* RAM has one of them */
    device_rig_region = &shared_keeps;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    queue = queue_of(64, 0, 0x1000, kick_fd);
    says(vhushmem_status_json(r.frontend), "\"requests_waiting\":0,\"shared_regions\":[],\"channel\":");
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
    for (uint64_t page = 0; page < 4; page++) {
        EQ(wire_map(&r, 0, file, 0, page * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    }
    says(vhushmem_status_json(r.frontend),
         "\"shared_regions\":[{\"shmid\":0,\"guest_addr\":1073741824,\"mappings\":0,\"left_out\":4}],");
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    says(vhushmem_frontend_status_json(r.frontend, 0),
         "\"shared_regions\":[{\"shmid\":0,\"guest_addr\":1073741824,\"mappings\":2,\"left_out\":2}],");
    ok(vhushmem_frontend_unshare_region(r.frontend, r.region, &error));
    says(vhushmem_status_json(r.frontend), "\"shared_regions\":[],");
    rig_close(&r);
    close(file);
    close(kick_fd);
    return 0;
}
