/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A firmware's driver starts queue 1 alone. The back-end hears nothing of a queue of size 0, the bases keep their places,
 * and each queue in use is kicked once when the back-end has all that it needs. Queues are enabled and disabled while the
 * device runs.
 */
#include "device-rig.h"

static uint64_t kicks(int fd)
{
    uint64_t count = 0;
    return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

int main(void)
{
    int file = memfd_of(4 * PAGE, 1), kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint16_t bases[3] = {7, 7, 7};
    rig r;
    vhushmem_queue queues[3] = {
        {.struct_size = sizeof(vhushmem_queue)}, queue_of(64, 0, 0x10000, kick), {.struct_size = sizeof(vhushmem_queue)}};
    device_rig_open(&r, 3, DEVICE_FEATURES & ~BIT(16));
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 3, &error));
    HEARD(&r, "2 8 10 9 13 14 12 18");
    EQ(kicks(kick), 1);
    EQ(kicks(kick), 0);
    ok(vhushmem_frontend_enable_queue(r.frontend, 1, false, &error));
    ok(vhushmem_frontend_enable_queue(r.frontend, 1, true, &error));
    HEARD(&r, "18 18");
    refused(vhushmem_frontend_enable_queue(r.frontend, 0, true, &error), -EINVAL, "0");
    refused(vhushmem_frontend_enable_queue(r.frontend, 3, true, &error), -EINVAL, "3");
    HEARD(&r, "");
    EQ(vhushmem_frontend_stop_device(r.frontend, bases, 3, &error), 3);
    EQ(bases[0], 0);
    EQ(bases[1], 101);
    EQ(bases[2], 0);
    HEARD(&r, "18 11");
    refused(vhushmem_frontend_enable_queue(r.frontend, 1, true, &error), -ENOTCONN, "not started");
    rig_close(&r);
    close(file);
    close(kick);
    return 0;
}
