/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end of 256 queues has no descriptor for a queue before the queue is started, or before the program asks for the
   one that is signalled. */
#include "device-rig.h"

static int rig_costs(rig *r, uint32_t queues)
{
    int before = fd_count();
    device_rig_open(r, queues, DEVICE_FEATURES);
    return fd_count() - before;
}

int main(void)
{
    rig few, r;
    int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);
    int one = rig_costs(&few, 1);
    EQ(rig_costs(&r, 256), one);

    int open = fd_count();
    int fd = (int)ok(vhushmem_frontend_call_fd(r.frontend, 200));
    EQ(fd_count(), open + 1);
    EQ(vhushmem_frontend_call_fd(r.frontend, 200), fd);
    EQ(fd_count(), open + 1);
    EQ(vhushmem_frontend_call_fd(r.frontend, 256), -EINVAL);

    /* Two queues: one has a call of its own, the other gets one. Both share the descriptor for errors. */
    vhushmem_queue queues[2] = {queue_of(256, 0, 0x10000, kick), queue_of(256, 0, 0x20000, kick)};
    queues[1].call_fd = call;
    open = fd_count();
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 2, &error));
    EQ(fd_count(), open + 2 + 1 + 1); /* the two kicks, the given call, and the one that was not given */
    ok(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error));
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 2, &error));
    EQ(fd_count(), open + 4);

    rig_close(&few);
    rig_close(&r);
    close(kick);
    close(call);
    return 0;
}
