/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's front-end and back-end: the log of writes, kicks by message and the byte order, where negotiated and where
   not. */
#include "virtqueue-rig.h"

static void round_trip(queue_rig *q, bool by_message)
{
    set_descriptor(q, DESC, 0, BUFFERS, 4, NEXT, 1);
    set_descriptor(q, DESC, 1, BUFFERS + PAGE, 4, WRITE, 0);
    offer(q, 0);
    if (by_message) {
        ok(vhushmem_frontend_kick_queue(q->frontend, 0, &error));
    } else {
        kick(q);
    }
    EQ(taken_back(q, NULL), 0);
}

static void open_rig(queue_rig *q, uint64_t protocol_features)
{
    vhushmem_backend_options back = {.struct_size = sizeof(back), .protocol_features = protocol_features};
    vhushmem_frontend_options front = {.struct_size = sizeof(front), .protocol_features = UINT64_MAX};
    queue_rig_open_with(q, &back, &front, NULL);
}

int main(void)
{
    char *fds = fds_now();
    queue_rig q;
    uint8_t bits[PAGE];
    int log = memfd_of(PAGE, 0), told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    memset(bits, 0, sizeof(bits));
    EQ(pwrite(log, bits, PAGE, 0), PAGE);

    open_rig(&q, UINT64_MAX);
    CHECK((vhushmem_frontend_features(q.frontend) & BIT(26)) != 0);
    EQ(vhushmem_frontend_protocol_features(q.frontend) & (BIT(1) | BIT(6) | BIT(14)), BIT(1) | BIT(6) | BIT(14));
    ok(vhushmem_frontend_set_log(q.frontend, log, 0, PAGE, &error));
    ok(vhushmem_frontend_set_log_fd(q.frontend, told, &error));
    ok(vhushmem_frontend_set_queue_endian(q.frontend, 0, false, &error));
    refused(vhushmem_frontend_set_queue_endian(q.frontend, 0, true, &error), -EIO);
    queue_rig_start(&q, 64, 0, 0);
    round_trip(&q, true);
    EQ(pread(log, bits, PAGE, 0), PAGE);
    for (size_t i = 0; i < PAGE; i++) {
        EQ(bits[i], 0);
    }
    /* A device that starts during a migration logs its writes, and the front-end sees them. */
    ok(vhushmem_frontend_stop_device(q.frontend, NULL, 0, &error));
    queue_rig_start(&q, 64, 0, BIT(26));
    round_trip(&q, false);
    round_trip(&q, true);
    CHECK(wait_readable(told, PATIENCE_MS));
    EQ(pread(log, bits, PAGE, 0), PAGE);
    /* A bit stands for 4 KiB, whatever the page size is. */
    size_t page = (RAM + BUFFERS + PAGE) / 4096;
    for (size_t i = 0; i < PAGE; i++) {
        EQ(bits[i], i == page / 8 ? 1 << page % 8 : 0);
    }
    EQ(q.events[VHUSHMEM_QUEUE_BROKEN], 0);
    queue_rig_close(&q);

    open_rig(&q, PROTOCOL_DEFAULTS);
    EQ(vhushmem_frontend_features(q.frontend) & BIT(26), 0);
    refused(vhushmem_frontend_set_log(q.frontend, log, 0, PAGE, &error), -EOPNOTSUPP, "LOG_SHMFD");
    refused(vhushmem_frontend_set_queue_endian(q.frontend, 0, false, &error), -EOPNOTSUPP, "CROSS_ENDIAN");
    refused(vhushmem_frontend_kick_queue(q.frontend, 0, &error), -EOPNOTSUPP, "INBAND_NOTIFICATIONS");
    queue_rig_close(&q);
    close(log);
    close(told);
    same(fds, fds_now());
    return 0;
}
