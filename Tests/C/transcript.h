/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_TRANSCRIPT_H
#define VHUSHMEM_TESTS_TRANSCRIPT_H

/*
 * Messages as hexadecimal text, in the form of the specification's tables: header, then payload.
 * Spaces mean nothing.
 */

#include "peer.h"

#define LINE_MAX_BYTES 2100

static inline size_t unhex(const char *text, uint8_t *bytes)
{
    size_t n = 0;
    for (; *text != 0; text++) {
        unsigned byte;
        if (*text == ' ') {
            continue;
        }
        CHECK(n < LINE_MAX_BYTES && sscanf(text, "%2x", &byte) == 1);
        bytes[n++] = (uint8_t)byte;
        text++;
    }
    return n;
}

/* The message has these bytes, and so many descriptors. */
static inline void is_line(const message *m, const char *text, int fds, const char *what)
{
    uint8_t wanted[LINE_MAX_BYTES], seen[LINE_MAX_BYTES];
    size_t size = unhex(text, wanted);
    memcpy(seen, &m->header, 12);
    CHECK(12 + (size_t)m->header.size <= sizeof(seen));
    memcpy(seen + 12, m->payload, m->header.size);
    if (size != 12 + (size_t)m->header.size || memcmp(seen, wanted, size) != 0 ||
        m->fd_count != fds) {
        GString *hex = g_string_new(NULL);
        for (size_t i = 0; i < 12 + (size_t)m->header.size && i < 100; i++) {
            g_string_append_printf(hex, i % 4 == 0 ? " %02x" : "%02x", seen[i]);
        }
        FAIL("%s:%s with %d descriptors, not %s with %d", what, hex->str, m->fd_count, text, fds);
    }
}

static inline void send_line(int socket, const char *text, const int *fds, int fd_count)
{
    uint8_t bytes[LINE_MAX_BYTES];
    size_t size = unhex(text, bytes);
    send_bytes(socket, bytes, size, fds, fd_count);
}

#endif
