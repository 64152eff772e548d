/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_DESCRIPTOR_H
#define VHUSHMEM_TESTS_DESCRIPTOR_H

/* A descriptor of a split virtqueue, and its flags (VIRTIO 1.2, 2.7.5). */

#include <stdint.h>

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

typedef struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} descriptor;

#endif
