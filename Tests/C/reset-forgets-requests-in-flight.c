/* SPDX-License-Identifier: BSD-3-Clause */
/* A reset of the device drops the requests in flight for good. Rings that are set up again are not served from the old area. */
#include "bare-queue.h"

static void begin(bare_queue *b)
{
    bare_queue_connect(b, BARE_FEATURES);
    tell_ram(b);
}

static int get_area(bare_queue *b, uint64_t *area)
{
    const struct {
        uint64_t size, offset;
        uint16_t queues, queue_size;
        uint32_t padding;
    } wanted = {0, 0, 1, b->size, 0};
    message m;
    send_message(b->r.main, GET_INFLIGHT_FD, 0x9, &wanted, sizeof(wanted), NULL, 0);
    pump_backend(b->r.backend);
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.fd_count, 1);
    EQ(m.header.size, sizeof(wanted));
    memcpy(area, m.payload, sizeof(wanted));
    return m.fds[0];
}

/* The driver offers three chains. The device takes two and gives none back. */
static void leave_two_in_flight(bare_queue *b)
{
    for (uint16_t head = 0; head < 2; head++) {
        set_descriptor(b, head, BUFFERS, 8, 0, 0);
        offer(b, head);
    }
    kick(b);
    for (int i = 0; i < 2; i++) {
        vhushmem_chain_free(some(vhushmem_backend_pop(b->r.backend, 0, &error)));
    }
}

static void set_up_anew(bare_queue *b)
{
    memset(b->ram, 0, BUFFERS);
    b->avail_idx = b->used_idx = 0;
}

int main(void)
{
    bare_queue b;
    uint64_t area[3];
    bare_queue_init(&b);
    begin(&b);
    int fd = get_area(&b, area);
    start_queue(&b, 0);
    leave_two_in_flight(&b);

    EQ(tell(&b, RESET_DEVICE, NULL, 0, -1), 0);
    set_up_anew(&b);
    start_queue(&b, 0);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);

    /* The area does not remember either, if the front-end hands it in again, to this back-end or to another. */
    EQ(tell(&b, RESET_DEVICE, NULL, 0, -1), 0);
    EQ(tell(&b, SET_INFLIGHT_FD, area, sizeof(area), fd), 0);
    set_up_anew(&b);
    start_queue(&b, 0);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);
    leave_two_in_flight(&b);
    backend_rig_close(&b.r);

    /* A device status of 0 is a reset too. The area is closed, and a back-end that gets it again reads it again. */
    memset(b.seen, 0, sizeof(b.seen));
    begin(&b);
    EQ(tell(&b, SET_INFLIGHT_FD, area, sizeof(area), fd), 0);
    EQ(tell_u64(&b, SET_STATUS, 0, -1), 0);
    set_up_anew(&b);
    start_queue(&b, 0);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);
    set_descriptor(&b, 5, BUFFERS, 8, 0, 0);
    offer(&b, 5);
    kick(&b);
    EQ(vhushmem_backend_push(b.r.backend, some(vhushmem_backend_pop(b.r.backend, 0, &error)), 0, &error), 0);
    EQ(taken_back(&b), 5);
    backend_rig_close(&b.r);
    set_up_anew(&b);
    b.avail_idx = 2;
    ((uint16_t *)(b.ram + AVAIL))[1] = 2;
    for (uint16_t head = 0; head < 2; head++) {
        set_descriptor(&b, head, BUFFERS, 8, 0, 0);
    }

    /* Without a reset, they are taken again. */
    memset(b.seen, 0, sizeof(b.seen));
    begin(&b);
    EQ(tell(&b, SET_INFLIGHT_FD, area, sizeof(area), fd), 0);
    start_queue(&b, 2);
    vhushmem_chain_free(some(vhushmem_backend_pop(b.r.backend, 0, &error)));
    vhushmem_chain_free(some(vhushmem_backend_pop(b.r.backend, 0, &error)));
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(fd);
    return 0;
}
