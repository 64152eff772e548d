/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_DRIVER_H
#define VHUSHMEM_PROBE_DRIVER_H

/**
 * @file
 * The driver that the probe plays: guest memory, and split virtqueues with requests in it.
 */

#include "probe.h"

/* The address of guest memory, and its size if no option sets one. */
#define DRIVER_RAM_ADDR UINT64_C(0x100000)
#define DRIVER_RAM_SIZE (UINT64_C(16) << 20)
#define DRIVER_MAX_RAM (UINT64_C(1) << 36)
#define DRIVER_QUEUE_SIZE 64
/** The most pieces of one request. */
#define DRIVER_MAX_PIECES 8

/** A piece of a request: bytes for the device to read, or (bytes NULL) room for it to write to. */
struct piece {
    const uint8_t *bytes;
    uint64_t len;
};

/** The result of a request. It is valid only during the callback. */
struct returned {
    unsigned queue;
    uint16_t head;
    uint32_t written;     /**< the number that the device reports */
    const uint8_t *bytes; /**< the bytes in the room, at most `written` */
    uint64_t len;
    const char *error; /**< the queue or the connection is over; NULL: the request was served */
};

typedef void (*returned_fn)(struct probe *probe, const struct returned *returned, void *user_data);

/** The number of queues of the front-end: --queues, or the number that the device needs. */
unsigned driver_max_queues(const struct probe *probe);
char *driver_begin_push(struct probe *probe, char **words);
char *driver_run_kick(struct probe *probe, char **words, struct record *answer);
/** @returns a sentence (g_free), or NULL. */
char *driver_set_memory(struct probe *probe, uint64_t size);
/** Begin to start `count` queues. `fn` is called at the end: error NULL, or a sentence. */
char *driver_start(struct probe *probe, unsigned count, unsigned size,
                   void (*fn)(struct probe *probe, const char *error));
char *driver_stop(struct probe *probe, void (*fn)(struct probe *, const uint16_t *bases,
                                                  unsigned count, const char *error));
/** Put a request into a queue. @returns a sentence, or NULL: then `fn` is called once. */
char *driver_push(struct probe *probe, unsigned queue, const struct piece *pieces, unsigned count,
                  returned_fn fn, void *user_data, uint16_t *head);
char *driver_kick(struct probe *probe, unsigned queue);
/** Call no `fn` for this request: it comes back as an event. */
void driver_abandon(struct probe *probe, unsigned queue, uint16_t head);
/** Look at the used rings, even if the device has not signalled. */
void driver_reap(struct probe *probe);
bool driver_is_started(const struct probe *probe);
uint64_t driver_features(struct probe *probe);
void driver_set_features(struct probe *probe, uint64_t features);
void driver_lost(struct probe *probe, const char *message);
void driver_was_reset(struct probe *probe);
void driver_free(struct probe *probe);
/** Print a request that came back and has no `fn`. */
void driver_tell_returned(struct probe *probe, const struct returned *returned);

#endif
