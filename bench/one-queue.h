/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that sets up one queue, for a program that cannot include this library's headers:
 * libvhost-user's have the same names.
 */
#ifndef VHUSHMEM_BENCH_ONE_QUEUE_H
#define VHUSHMEM_BENCH_ONE_QUEUE_H

#include <stdint.h>

#define RAM_AT UINT64_C(0x100000)
#define RAM_SIZE 0x10000
#define EVENT_IDX (UINT64_C(1) << 29)

enum { DESC = 0, AVAIL = 0x1000, USED = 0x2000, BUFFERS = 0x4000 };

typedef struct one_queue {
    int socket; /* of the device; consumed */
    uint16_t size;
    uint64_t features; /* besides VERSION_1 */
    uint8_t *ram;
    int ram_fd;
} one_queue;

/* Makes the guest's memory, and returns where it is. */
uint8_t *one_queue_memory(one_queue *queue);

/* A thread that returns when the device has started the queue. */
void *one_queue_start(void *queue);

#endif
