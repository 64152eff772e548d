/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end ends with chains that it had taken. The next back-end takes them again, in their order. */
#include "virtqueue-rig.h"

static vhushmem_chain *held[3];
static int count, taken;
static uint16_t order[8];

/* Takes all and gives the middle one back. */
static void hold(queue_rig *q, unsigned queue)
{
    vhushmem_chain *chain;
    while ((chain = vhushmem_backend_pop(q->backend, queue, NULL)) != NULL) {
        held[count++] = chain;
    }
    if (count == 3 && held[1] != NULL) {
        EQ(vhushmem_backend_push(q->backend, held[1], 0, NULL), 0);
        held[1] = NULL;
    }
}

static void note(queue_rig *q, unsigned queue)
{
    vhushmem_chain *chain;
    while ((chain = vhushmem_backend_pop(q->backend, queue, NULL)) != NULL) {
        order[taken] = vhushmem_chain_head(chain);
        EQ(vhushmem_backend_push(q->backend, chain, 0, NULL), 0);
        __atomic_add_fetch(&taken, 1, __ATOMIC_RELEASE);
    }
}

int main(void)
{
    char *fds = fds_now();
    queue_rig q;
    vhushmem_inflight area = {.struct_size = sizeof(area), .fd = -1};
    vhushmem_backend_options options = {.struct_size = sizeof(options)};
    on_kick = hold;
    queue_rig_open_with(&q, &options, NULL, NULL);
    ok(vhushmem_frontend_get_inflight(q.frontend, 1, 64, &area, &error));
    CHECK(area.fd >= 0);
    ok(vhushmem_frontend_set_inflight(q.frontend, &area, &error));
    queue_rig_start(&q, 64, 0, 0);
    for (uint16_t head = 7; head >= 5; head--) {
        set_descriptor(&q, DESC, head, BUFFERS, 8, 0, 0);
        offer(&q, head);
    }
    kick(&q);
    EQ(taken_back(&q, NULL), 6);

    /* It ends without a word. Another one gets the same memory and the same area. */
    vhushmem_frontend_free(q.frontend);
    __atomic_store_n(&q.stop, true, __ATOMIC_RELEASE);
    pthread_join(q.thread, NULL);
    vhushmem_chain_free(held[0]);
    vhushmem_chain_free(held[2]);
    vhushmem_backend_free(q.backend);

    queue_rig next;
    on_kick = note;
    queue_rig_open_with(&next, &options, NULL, NULL);
    munmap(next.ram, RAM_SIZE);
    close(next.ram_fd);
    next.ram = q.ram;
    next.ram_fd = q.ram_fd;
    ok(vhushmem_frontend_set_inflight(next.frontend, &area, &error));
    vhushmem_guest_memory ram = queue_rig_ram(&next);
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = 64,
                            .base = q.avail_idx,
                            .desc = q.ram + DESC,
                            .avail = q.ram + AVAIL,
                            .used = q.ram + USED,
                            .kick_fd = next.kick,
                            .call_fd = next.call};
    ok(vhushmem_frontend_set_memory(next.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(next.frontend, 0, &queue, 1, &error));
    WAIT_UNTIL(seen(&taken) == 2);
    EQ(order[0], 7);
    EQ(order[1], 5);
    next.size = 64;
    next.used_idx = q.used_idx;
    EQ(taken_back(&next, NULL), 7);
    EQ(taken_back(&next, NULL), 5);
    queue_rig_close(&next);
    close(q.kick);
    close(q.call);
    close(area.fd);
    same(fds, fds_now());
    return 0;
}
