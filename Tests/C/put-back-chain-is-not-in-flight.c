/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests in flight: a chain that is put back leaves the area, and the next back-end takes it once, from the available
 * ring. A chain that was begun in an earlier life cannot be put back: the available ring no longer has it.
 */
#include "bare-queue.h"

static int area_fd = -1;
static uint8_t *entries; /* of queue 0 in the area: 16 bytes each, the first says whether the chain is in flight */

/* A back-end with memory and the area. The first call makes the area. */
static void connect_with_area(bare_queue *b)
{
    struct {
        uint64_t size, offset;
        uint16_t queues, queue_size;
        uint32_t padding;
    } area = {0, 0, 1, b->size, 0};
    message m;
    bare_queue_connect(b, BARE_FEATURES);
    if (area_fd < 0) {
        send_message(b->r.main, GET_INFLIGHT_FD, 0x9, &area, sizeof(area), NULL, 0);
        pump_backend(b->r.backend);
        EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
        EQ(m.fd_count, 1);
        memcpy(&area, m.payload, sizeof(area));
        area_fd = m.fds[0];
        uint8_t *mapped = mmap(NULL, area.size, PROT_READ | PROT_WRITE, MAP_SHARED, area_fd, 0);
        CHECK(mapped != MAP_FAILED);
        entries = mapped + 16;
    } else {
        struct stat status;
        CHECK(fstat(area_fd, &status) == 0);
        area.size = (uint64_t)status.st_size;
        EQ(tell(b, SET_INFLIGHT_FD, &area, sizeof(area), area_fd), 0);
    }
    EQ(tell_u64(b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    tell_ram(b);
    start_queue(b, 0);
}

static vhushmem_chain *pop(bare_queue *b)
{
    vhushmem_chain *chain = vhushmem_backend_pop(b->r.backend, 0, &error);
    CHECK(error == NULL);
    return chain;
}

int main(void)
{
    bare_queue b;
    bare_queue_init(&b);
    connect_with_area(&b);
    set_descriptor(&b, 0, BUFFERS, 4, 0, 0);
    set_descriptor(&b, 1, BUFFERS, 4, 0, 0);
    offer(&b, 0);
    offer(&b, 1);
    vhushmem_chain *first = some(pop(&b)), *second = some(pop(&b));
    EQ(entries[0] + entries[16], 2);
    ok(vhushmem_backend_put_back(b.r.backend, second, &error));
    EQ(entries[0], 1);
    EQ(entries[16], 0);
    /* The device process ends here, and the first chain is still in its hands. */
    vhushmem_chain_free(first);
    backend_rig_close(&b.r);

    connect_with_area(&b);
    first = some(pop(&b));
    EQ(vhushmem_chain_head(first), 0);
    refused(vhushmem_backend_put_back(b.r.backend, first, &error), -EINVAL, "last");
    EQ(entries[0], 1);
    second = some(pop(&b));
    EQ(vhushmem_chain_head(second), 1);
    CHECK(pop(&b) == NULL);
    ok(vhushmem_backend_push(b.r.backend, second, 0, &error));
    ok(vhushmem_backend_push(b.r.backend, first, 0, &error));
    EQ(taken_back(&b), 1);
    EQ(taken_back(&b), 0);
    EQ(entries[0] + entries[16], 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(area_fd);
    return 0;
}
