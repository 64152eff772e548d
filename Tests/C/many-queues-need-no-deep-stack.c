/* SPDX-License-Identifier: BSD-3-Clause */
/* A start of 256 queues with a back-end that acknowledges nothing takes a small stack. */
/* tsan: yes (a thread with a small stack uses the library) */
#include "device-rig.h"

static void *run(void *user_data)
{
    static vhushmem_queue queues[256];
    static rig r; /* the rig itself is large */
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)user_data;
    device_rig_open(&r, 256, DEVICE_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    for (int i = 0; i < 256; i++) {
        queues[i] = queue_of(64, 0, 0x10000, kick);
    }
    ok(vhushmem_frontend_start_device(r.frontend, 0, queues, 256, &error));
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 256);
    rig_close(&r);
    close(kick);
    return NULL;
}

int main(void)
{
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    CHECK(pthread_attr_setstacksize(&small, 512 << 10) == 0);
    CHECK(pthread_create(&thread, &small, run, NULL) == 0);
    pthread_join(thread, NULL);
    return 0;
}
