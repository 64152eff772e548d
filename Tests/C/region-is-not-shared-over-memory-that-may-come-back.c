/* SPDX-License-Identifier: BSD-3-Clause */
/* While a change of guest memory is under way, the ranges that it gives up may come back. Until then no region is shared at
   their addresses. */
#include "shared-region.h"

static rig r;
static int replies, result;

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    result = reply->result;
    replies++;
}

int main(void)
{
    int file = memfd_of(0x10000, 0), kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vhushmem_guest_memory ram = memory_of(AT, 0x10000, file, 0), other = memory_of(0, 0x10000, file, 0);
    vhushmem_queue queue = queue_of(64, 0, 0x1000, kick_fd);
    device_rig_slots = 32;
    device_rig_region = &shared_keeps;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -EINVAL, "overlaps");

    /* Given up, and the back-end refuses the replacement: the range is there again. */
    r.peer.refuses = ADD_MEM_REG;
    ok(vhushmem_frontend_set_memory_async(r.frontend, &other, 1, on_reply, NULL, NULL, &error));
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -EINVAL, "overlaps");
    PUMP_UNTIL(r.frontend, replies == 1);
    CHECK(result < 0);
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -EINVAL, "overlaps");

    /* Given up, and gone after the answer. */
    r.peer.refuses = 0;
    ok(vhushmem_frontend_set_memory_async(r.frontend, &other, 1, on_reply, NULL, NULL, &error));
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -EINVAL, "overlaps");
    PUMP_UNTIL(r.frontend, replies == 2);
    EQ(result, 0);
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
    rig_close(&r);
    close(file);
    close(kick_fd);
    return 0;
}
