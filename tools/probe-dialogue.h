/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_DIALOGUE_H
#define VHUSHMEM_PROBE_DIALOGUE_H

#include "probe-driver.h"

/* So many bytes are shown of a file, or of random ones. */
#define SHOWN 64
#define MAX_ROOM 65536

struct dialogue {
    struct probe *probe;
    char **words;
    bool over;   /* what is awaited has come */
    guint timer; /* of its time; 0: it has passed */
    char *error;
    GByteArray *in; /* what the device wrote */
    uint64_t unique;
};

/** Start so many queues, if the device does not run yet. @returns false: error says why not. */
bool dialogue_start(struct dialogue *dialogue, unsigned queues);
/** A request, and its answer in `in`. @returns false: error says why there is none. */
bool dialogue_exchange(struct dialogue *dialogue, const char *what, unsigned queue,
                       const struct piece *pieces, unsigned count);
void dialogue_begin_step(struct dialogue *dialogue, struct record *record, const char *step);
void dialogue_show_bytes(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len);
void dialogue_fs(struct dialogue *dialogue);

#endif
