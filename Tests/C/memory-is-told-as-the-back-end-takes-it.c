/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory goes as one table, or range by range if slots were negotiated: only the changes, and no more than fits. */
#include "device-rig.h"

int main(void)
{
    rig r;
    int file = memfd_of(4 * PAGE, 1), other = memfd_of(4 * PAGE, 2), kick = eventfd(0, EFD_CLOEXEC);
    vhushmem_guest_memory ranges[40];
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    for (int i = 0; i < 40; i++) {
        ranges[i] = memory_of((uint64_t)i * 0x10000, PAGE, file, 0);
    }

    /* One by one. */
    device_rig_open(&r, 1, DEVICE_FEATURES);
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 33, &error), -ENOSPC, "33", "32");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 3, &error));
    HEARD(&r, "");
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    HEARD(&r, "2 39 40 37 37 37 8 10 9 13 14 12 18 39");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 3, &error));
    HEARD(&r, "");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges + 1, 3, &error));
    EQ(peer_heard(&r.peer, REM_MEM_REG, 0)->fd_count, 0);
    EQ(peer_heard(&r.peer, ADD_MEM_REG, 0)->fd_count, 1);
    HEARD(&r, "38 37");
    ranges[1].fd = other; /* another file at the same place */
    ok(vhushmem_frontend_set_memory(r.frontend, ranges + 1, 3, &error));
    HEARD(&r, "38 37");
    ok(vhushmem_frontend_set_memory(r.frontend, NULL, 0, &error));
    HEARD(&r, "38 38 38");

    /* Wrong ranges change nothing. */
    ranges[5].size = 0;
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error), -EINVAL, hex(0x50000));
    ranges[5].size = 0x10001;
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error), -EINVAL, hex(0x60000), hex(0x50000));
    ranges[5].size = UINT64_MAX;
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error), -EINVAL);
    ranges[5].size = PAGE;
    ranges[5].fd = -1;
    err(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error), -EBADF);
    ranges[5].fd = file;
    HEARD(&r, "");

    /* A range that the back-end refuses is known to be missing there. */
    r.peer.refuses = ADD_MEM_REG;
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 1, &error), -EIO, "ADD_MEM_REG");
    r.peer.refuses = 0;
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 1, &error));
    HEARD(&r, "37 37");
    rig_close(&r);

    /* As a table. */
    device_rig_open(&r, 1, DEVICE_FEATURES & ~BIT(15));
    refused(vhushmem_frontend_set_memory(r.frontend, ranges, 9, &error), -ENOSPC, "9", "8");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    EQ(peer_heard(&r.peer, SET_MEM_TABLE, 0)->fd_count, 8);
    EQ(peer_heard(&r.peer, SET_MEM_TABLE, 0)->header.size, 8 + 8 * 32);
    HEARD(&r, "2 39 40 5 8 10 9 13 14 12 18 39");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 8, &error));
    HEARD(&r, "");
    ok(vhushmem_frontend_set_memory(r.frontend, ranges, 2, &error));
    HEARD(&r, "5");
    rig_close(&r);
    close(file);
    close(other);
    close(kick);
    return 0;
}
