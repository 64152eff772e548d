/* SPDX-License-Identifier: BSD-3-Clause */
#include "measure.h"

#include "one-queue.h"

#include <sys/eventfd.h>

#include <vhushmem/vhushmem.h>

uint8_t *one_queue_memory(one_queue *queue)
{
    queue->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    MUST(queue->ram_fd >= 0 && ftruncate(queue->ram_fd, RAM_SIZE) == 0);
    queue->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, queue->ram_fd, 0);
    MUST(queue->ram != MAP_FAILED);
    return queue->ram;
}

void *one_queue_start(void *user_data)
{
    one_queue *q = user_data;
    vhushmem_guest_memory memory = {
        .struct_size = sizeof(memory), .guest_addr = RAM_AT, .size = RAM_SIZE, .host = q->ram, .fd = q->ram_fd};
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = q->size,
                            .desc = q->ram + DESC,
                            .avail = q->ram + AVAIL,
                            .used = q->ram + USED,
                            .kick_fd = eventfd(0, EFD_CLOEXEC),
                            .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    vhushmem_frontend *frontend = vhushmem_frontend_new_fd(q->socket, NULL, NULL);
    MUST(frontend != NULL && vhushmem_frontend_connect(frontend, 10000, NULL) == 0 &&
         vhushmem_frontend_set_memory(frontend, &memory, 1, NULL) == 0 &&
         vhushmem_frontend_start_device(frontend, UINT64_C(1) << 32 | q->features, &queue, 1, NULL) == 0);
    return NULL;
}
