/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues stop because the front-end broke the rules. Meanwhile nothing that it sent afterwards is served. */
#include "bare-queue.h"

static int result = 1;

static void look(bare_queue *b, vhushmem_queue_event event)
{
    if (event != VHUSHMEM_QUEUE_STOPPED) {
        return;
    }
    int fd = memfd_of(PAGE, 1);
    result = vhushmem_backend_map(b->r.backend, 0, fd, 0, 0, PAGE, 0, NULL);
    close(fd);
    vhushmem_backend_dispatch(b->r.backend);
    EQ(vhushmem_backend_device_status(b->r.backend), 0);
}

int main(void)
{
    bare_queue b;
    const uint64_t status = 5;
    char *fds = fds_now();
    bare_queue_open(&b, 0);
    on_queue = look;
    send_message(b.r.main, SET_VRING_NUM, 0x1, &status, 3, NULL, 0); /* three bytes are impossible */
    send_message(b.r.main, SET_STATUS, 0x1, &status, 8, NULL, 0);
    pump_backend(b.r.backend);
    EQ(result, -ENOTCONN);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    EQ(vhushmem_backend_device_status(b.r.backend), 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    same(fds, fds_now());
    return 0;
}
