/* SPDX-License-Identifier: BSD-3-Clause */
/* Start and stop send what back-ends expect, in the order in which they expect it, byte for byte. */
#include "device-rig.h"

static void expect(rig *r, uint32_t request, int n, const char *hex, int fds)
{
    const message *m = some(peer_heard(&r->peer, request, n));
    char seen[256] = "";
    for (uint32_t i = 0; i < m->header.size; i++) {
        snprintf(seen + 2 * i, sizeof(seen) - 2 * i, "%02x", m->payload[i]);
    }
    if (strcmp(seen, hex) != 0 || m->fd_count != fds) {
        FAIL("message %u has payload %s and %d fds, not %s and %d", request, seen, m->fd_count, hex, fds);
    }
}

int main(void)
{
    only_with_pages_of_4_kib();
    rig r;
    uint16_t bases[3] = {0, 0, 0xaaaa};
    int kick = eventfd(0, EFD_CLOEXEC), memory = memfd_of(4 * PAGE, 1);
    vhushmem_guest_memory range = memory_of(0x100000, 0x4000, memory, 0x1000);
    vhushmem_queue queues[2] = {queue_of(256, 0, 0x10000, kick), queue_of(128, 7, 0x20000, kick)};
    char *fds = fds_now();

    /* Without acknowledgements, and without any optional feature. */
    device_rig_open(&r, 2, PROTOCOL_DEFAULTS & ~(BIT(3) | BIT(15)));
    ok(vhushmem_frontend_set_memory(r.frontend, &range, 1, &error));
    HEARD(&r, "");
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 2, &error));
    CHECK(vhushmem_frontend_is_started(r.frontend));
    /* A request with an answer: when it has come, all before it was heard. */
    uint8_t byte;
    ok(vhushmem_frontend_get_config(r.frontend, 0, &byte, 1, &error));
    expect(&r, SET_FEATURES, 0, "0000004001000000", 0);
    expect(&r, SET_MEM_TABLE, 0,
           "0100000000000000000010000000000000400000000000000000"
           "1000007f00000010000000000000",
           1);
    expect(&r, SET_VRING_NUM, 0, "0000000000010000", 0);
    expect(&r, SET_VRING_BASE, 1, "0100000007000000", 0);
    expect(&r, SET_VRING_ADDR, 1,
           "010000000000000000000200000000000020020000000000001002000000000"
           "00000000000000000",
           0);
    expect(&r, SET_VRING_KICK, 1, "0100000000000000", 1);
    expect(&r, SET_VRING_CALL, 0, "0000000000000000", 1);
    expect(&r, SET_VRING_ENABLE, 0, "0000000001000000", 0);
    HEARD(&r, "2 5 8 10 9 13 14 12 8 10 9 13 14 12 18 18 24");
    err(vhushmem_frontend_start_device(r.frontend, 0, queues, 2, &error), -EALREADY);
    EQ(vhushmem_frontend_stop_device(r.frontend, bases, 3, &error), 2);
    EQ(bases[0], 100);
    EQ(bases[1], 101);
    EQ(bases[2], 0xaaaa);
    HEARD(&r, "18 18 11 11");
    err(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), -ENOTCONN);
    refused(vhushmem_frontend_start_device(r.frontend, BIT(5), queues, 2, &error), -EINVAL, "0x20");
    vhushmem_queue odd = queue_of(100, 0, 0x10000, kick);
    refused(vhushmem_frontend_start_device(r.frontend, 0, &odd, 1, &error), -EINVAL, "100");
    HEARD(&r, "");
    rig_close(&r);

    /* With every feature. */
    device_rig_open(&r, 2, DEVICE_FEATURES);
    ok(vhushmem_frontend_set_memory(r.frontend, &range, 1, &error));
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 1, &error));
    HEARD(&r, "2 39 40 37 8 10 9 13 14 12 18 39");
    EQ(vhushmem_frontend_get_device_status(r.frontend, &error), 0xf);
    EQ(vhushmem_frontend_stop_device(r.frontend, bases, 1, &error), 1);
    HEARD(&r, "40 18 11");
    EQ(device_status, 15); /* nothing is reset */
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 1, &error));
    HEARD(&r, "2 39 40 8 10 9 13 14 12 18 39"); /* it knows its memory already */
    ok(vhushmem_frontend_reset(r.frontend, &error));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    CHECK(!vhushmem_frontend_is_started(r.frontend));
    rig_close(&r);

    same(fds, fds_now());
    close(kick);
    close(memory);
    return 0;
}
