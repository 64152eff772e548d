/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_DEVICE_RIG_H
#define VHUSHMEM_TESTS_DEVICE_RIG_H

/*
 * A rig whose peer runs a device: it answers for its configuration space, its status and its
 * queues. A test can look at each message that the front-end sent after the handshake.
 */

#include "rig.h"

#include <sys/eventfd.h>

/* and INFLIGHT_SHMFD, STATUS, DEVICE_STATE */
#define DEVICE_FEATURES (PROTOCOL_DEFAULTS | BIT(12) | BIT(16) | BIT(19))

static uint8_t device_config[256], device_status;

static inline void reply_with(peer *p, const message *m, const void *payload, uint32_t size, int fd)
{
    /* The front-end may have gone meanwhile: it was freed, or reset. */
    try_send_message(p->main, m->header.request, 0x5, payload, size, &fd, fd >= 0 ? 1 : 0);
}

static inline bool device_answer(peer *p, const message *m)
{
    uint64_t value = 0;
    uint32_t words[2], range[3];
    uint8_t bytes[sizeof(range) + sizeof(device_config)];
    switch (m->header.request) {
    case GET_STATUS:
        value = device_status;
        break;
    case SET_STATUS:
        device_status = (uint8_t)u64_of(m);
        return false;
    case GET_VRING_BASE: /* queue n has stopped at 100 + n */
        memcpy(words, m->payload, sizeof(words));
        words[1] = 100 + words[0];
        reply_with(p, m, words, sizeof(words), -1);
        return true;
    case GET_CONFIG:
        memcpy(range, m->payload, sizeof(range));
        CHECK(m->header.size == sizeof(range) + range[1] &&
              range[0] + range[1] <= sizeof(device_config));
        memcpy(bytes, range, sizeof(range));
        memcpy(bytes + sizeof(range), device_config + range[0], range[1]);
        reply_with(p, m, bytes, sizeof(range) + range[1], -1);
        return true;
    case SET_CONFIG:
        memcpy(range, m->payload, sizeof(range));
        CHECK(m->header.size == sizeof(range) + range[1] &&
              range[0] + range[1] <= sizeof(device_config));
        memcpy(device_config + range[0], m->payload + sizeof(range), range[1]);
        return false;
    default:
        return false;
    }
    reply_with(p, m, &value, sizeof(value), -1);
    return true;
}

static uint64_t device_rig_slots = 32;
/* The options of its region; NULL: the default. */
static const vhushmem_region_options *device_rig_region __attribute__((unused));

/* Ready, with `queues` queues and these protocol features offered. Forgets what it heard so far. */
/* The features that the back-end offers besides. */
static uint64_t device_rig_features;

static inline void device_rig_open(rig *r, uint32_t queues, uint64_t protocol_features)
{
    memset(r, 0, sizeof(*r));
    device_status = 0;
    peer_init(&r->peer);
    peer_add_region(&r->peer, 0, 16 * PAGE);
    r->peer.queues = queues;
    r->peer.features |= device_rig_features;
    r->peer.slots = device_rig_slots;
    r->peer.protocol_features = protocol_features;
    r->peer.answer = device_answer;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .num_queues = queues, .region = device_rig_region};
    rig_connect(r, &options);
    pthread_mutex_lock(&r->peer.lock);
    r->peer.heard_count = 0;
    pthread_mutex_unlock(&r->peer.lock);
}

/* What it heard since, as ids in a text: "2 5 8 10". Forgets it. */
static inline const char *device_rig_heard(rig *r)
{
    static char text[1024];
    text[0] = 0;
    pthread_mutex_lock(&r->peer.lock);
    for (int i = 0; i < r->peer.heard_count; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", i > 0 ? " " : "",
                 r->peer.heard[i].header.request);
    }
    r->peer.heard_count = 0;
    pthread_mutex_unlock(&r->peer.lock);
    return text;
}

#define HEARD(r, wanted)                                                                           \
    do {                                                                                           \
        const char *heard_ = device_rig_heard(r);                                                  \
        if (strcmp(heard_, wanted) != 0) {                                                         \
            FAIL("heard %s, not %s", heard_, wanted);                                              \
        }                                                                                          \
    } while (0)

static inline vhushmem_guest_memory memory_of(uint64_t guest_addr, uint64_t size, int fd,
                                              uint64_t fd_offset)
{
    vhushmem_guest_memory m = {.struct_size = sizeof(m),
                               .guest_addr = guest_addr,
                               .size = size,
                               .host = (void *)(uintptr_t)(0x7f0000000000 + guest_addr),
                               .fd_offset = fd_offset,
                               .fd = fd};
    return m;
}

static inline vhushmem_queue queue_of(uint16_t size, uint16_t base, uintptr_t at, int kick)
{
    vhushmem_queue q = {.struct_size = sizeof(q),
                        .size = size,
                        .base = base,
                        .desc = (void *)at,
                        .avail = (void *)(at + 0x1000),
                        .used = (void *)(at + 0x2000),
                        .kick_fd = kick,
                        .call_fd = -1};
    return q;
}

#endif
