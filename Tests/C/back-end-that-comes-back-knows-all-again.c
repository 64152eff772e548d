/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end goes and another comes, on either side of the socket. The front-end tells it, in order, all that the first one
   knew, and it serves on. */
#include "reconnect-rig.h"

#define HANDSHAKE "1 15 16 17 36 21 3 1 13 14 44"

static void comes_back(bool serves)
{
    coming_rig c;
    rig *r = &c.r;
    uint64_t kicks;
    int file = memfd_of(4 * PAGE, 1);
    vhushmem_guest_memory ram = memory_of(0x100000, 4 * PAGE, file, 0);
    coming_open(&c, serves, 0);
    coming_ready(&c);
    HEARD(r, HANDSHAKE);
    void *window = vhushmem_region_window(r->region);
    ok(vhushmem_frontend_set_memory(r->frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r->frontend, BIT(32), &c.queue, 1, &error));
    HEARD(r, "2 39 40 37 8 10 9 13 14 12 18 39");
    EQ(wire_map(r, 0, file, 0, PAGE, PAGE, 0), 0);

    c.used[1] = 0xabcd; /* how far the first back-end came */
    coming_leave(&c);
    EQ(r->last.result, -ECONNRESET);
    CHECK(!vhushmem_frontend_is_ready(r->frontend));
    CHECK(!vhushmem_frontend_is_started(r->frontend));
    EQ(vhushmem_region_mapping_count(r->region), 0);
    err(vhushmem_frontend_set_config(r->frontend, 0, "x", 1, 0, &error), -ENOTCONN);

    /* The next back-end is told of changes that were made while none was there. */
    ram.size = 3 * PAGE;
    ok(vhushmem_frontend_set_memory(r->frontend, &ram, 1, &error));
    coming_ready(&c);
    CHECK(vhushmem_frontend_is_ready(r->frontend) && vhushmem_frontend_is_started(r->frontend));
    CHECK(vhushmem_region_window(r->region) == window);
    uint32_t base[2];
    memcpy(base, some(peer_heard(&r->peer, SET_VRING_BASE, 0))->payload, sizeof(base));
    EQ(base[1], 0xabcd);
    uint64_t size;
    memcpy(&size, some(peer_heard(&r->peer, ADD_MEM_REG, 0))->payload + 16, sizeof(size));
    EQ(size, 3 * PAGE);
    HEARD(r, HANDSHAKE " 2 39 40 37 8 10 9 13 14 12 18 39");
    EQ(device_status, 15);
    /* The next back-end also gets a signal that the first one consumed. */
    EQ(read(c.queue.kick_fd, &kicks, 8), 8);
    EQ(wire_map(r, 0, file, 0, PAGE, PAGE, 0), 0);
    EQ(wire_unmap(r, 0, PAGE, PAGE), 0);
    EQ(vhushmem_frontend_stop_device(r->frontend, NULL, 0, &error), 1);
    HEARD(r, "18 11");
    coming_leave(&c);

    /* If the device does not run, a back-end that comes back gets a handshake only. */
    coming_ready(&c);
    HEARD(r, HANDSHAKE);

    /* A used ring that cannot be read does not say where to go on. To begin at the queue's beginning would repeat every
       request. */
    c.queue.used = (void *)0x10000;
    ok(vhushmem_frontend_start_device(r->frontend, 0, &c.queue, 1, &error));
    coming_leave(&c);
    int ended = r->events[VHUSHMEM_EVENT_DISCONNECT];
    coming_prepare(&c);
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_DISCONNECT] == ended + 1);
    EQ(r->last.result, -EFAULT);
    CHECK(strstr(r->said, "queue 0 cannot continue") != NULL && strstr(r->said, "0x10000") != NULL);
    CHECK(peer_heard(&r->peer, SET_VRING_BASE, 0) == NULL);
    peer_end(&r->peer);
    r->peer.heard_count = 0;

    /* If the back-end has an area for requests in flight, it knows more than a base says. */
    vhushmem_inflight area = {.struct_size = sizeof(area), .size = 4096, .num_queues = 1, .queue_size = 64, .fd = file};
    ok(vhushmem_frontend_set_inflight(r->frontend, &area, &error));
    coming_ready(&c);
    CHECK(peer_heard(&r->peer, SET_INFLIGHT_FD, 0) != NULL);
    memcpy(base, some(peer_heard(&r->peer, SET_VRING_BASE, 0))->payload, sizeof(base));
    EQ(base[1], 3);
    coming_leave(&c);
    EQ(r->events[VHUSHMEM_EVENT_READY], 4);
    EQ(r->events[VHUSHMEM_EVENT_CHANNEL_LOST], 0);
    coming_close(&c);
    close(file);
}

int main(void)
{
    char *fds = fds_now();
    comes_back(false);
    comes_back(true);
    same(fds, fds_now());
    return 0;
}
