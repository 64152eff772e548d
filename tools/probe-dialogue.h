/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_DIALOGUE_H
#define VHUSHMEM_PROBE_DIALOGUE_H

#include "probe-driver.h"

/* The number of bytes that are shown of a file, or of random ones. */
#define SHOWN 64
#define MAX_ROOM 65536

struct dialogue {
    struct probe *probe;
    char **words;
    bool over;   /* the answer has come */
    guint timer; /* the time limit; 0: it has passed */
    char *error;
    GByteArray *in; /* the bytes that the device wrote */
    uint64_t unique;
};

/** Start `queues` queues, unless the device runs already. @returns false: error has the reason. */
bool dialogue_start(struct dialogue *dialogue, unsigned queues);
/** Make a request. Its answer is in `in`. @returns false: error says why there is none. */
bool dialogue_exchange(struct dialogue *dialogue, const char *what, unsigned queue,
                       const struct piece *pieces, unsigned count);
void dialogue_begin_step(struct dialogue *dialogue, struct record *record, const char *step);
void dialogue_show_bytes(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len);
void dialogue_fs(struct dialogue *dialogue);

#endif
