/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_RIGHT_ANSWERS_H
#define VHUSHMEM_TESTS_RIGHT_ANSWERS_H

/* The answers of a well-behaved back-end. The target `replies` begins with them and changes
   them. */

#include "fuzz.h"

/* Writes the payload of a right answer. Returns its size. */
static inline uint32_t right_answer(const message *m, uint64_t regions, uint8_t payload[4096])
{
    uint64_t value = 0;
    uint32_t size = 8;
    memset(payload, 0, 4096);
    switch (m->header.request) {
    case GET_FEATURES:
        value = VIRTIO_DEFAULTS | BIT(26) | BIT(28) | BIT(29);
        break;
    case GET_PROTOCOL_FEATURES:
        value = ~BIT(17) & ~BIT(14);
        break;
    case GET_QUEUE_NUM:
        value = 4;
        break;
    case GET_MAX_MEM_SLOTS:
        value = 32;
        break;
    case GET_STATUS:
        value = 0xf;
        break;
    case GET_SHMEM_CONFIG: {
        VhostUserShMemConfig config = {.nregions = 2};
        config.memory_sizes[0] = config.memory_sizes[200] = regions * PAGE;
        memcpy(payload, &config, sizeof(config));
        return sizeof(config);
    }
    case GET_CONFIG:
    case GET_INFLIGHT_FD:
    case GET_VRING_BASE:
        memcpy(payload, m->payload, m->header.size);
        return m->header.size;
    default:
        break;
    }
    memcpy(payload, &value, sizeof(value));
    return size;
}

/* Whether the request has an answer at all. */
static inline bool has_answer(const message *m)
{
    switch (m->header.request) {
    case GET_FEATURES:
    case GET_PROTOCOL_FEATURES:
    case GET_QUEUE_NUM:
    case GET_MAX_MEM_SLOTS:
    case GET_STATUS:
    case GET_SHMEM_CONFIG:
    case GET_CONFIG:
    case GET_INFLIGHT_FD:
    case GET_VRING_BASE:
    case 41: /* GET_SHARED_OBJECT */
    case SET_DEVICE_STATE_FD:
    case CHECK_DEVICE_STATE:
        return true;
    default:
        return m->header.flags & VHOST_USER_NEED_REPLY_MASK;
    }
}

#endif
