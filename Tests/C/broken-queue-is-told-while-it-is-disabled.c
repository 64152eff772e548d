/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If a disabled queue is found broken when its rings come back, the library reports that once, with the error eventfd and
 * the device status. The device can neither give its chains back nor put them back: EPROTO.
 */
#include "bare-queue.h"

static void facts(bool is_disabled)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    set_descriptor(&b, 0, BUFFERS, 8, 0, 0);
    offer(&b, 0);
    kick(&b);
    vhushmem_chain *chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    if (is_disabled) {
        EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
        EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    }
    EQ(tell_region(&b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0);
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, NULL), -EAGAIN);
    b.avail_idx += 100;
    offer(&b, 0);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    tell_ram(&b);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    CHECK(strstr(b.broken, "queue 0") != NULL);
    CHECK(signalled(b.err));
    EQ(vhushmem_backend_device_status(b.r.backend) & 0x40, 0x40);
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, NULL), -EPROTO);
    refused(vhushmem_backend_put_back(b.r.backend, chain, &error), -EPROTO, "queue 0");
    EQ(vhushmem_backend_notify(b.r.backend, 0, NULL), -EPROTO);
    vhushmem_chain_free(chain);

    /* Enabling it changes nothing. Setting it up again does. */
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], is_disabled ? 1 : 0);
    stop_queue(&b);
    memset(b.ram, 0, BUFFERS);
    b.avail_idx = 0;
    start_queue(&b, 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    facts(true);
    facts(false);
    return 0;
}
