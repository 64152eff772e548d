/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_OUTPUT_H
#define VHUSHMEM_PROBE_OUTPUT_H

/**
 * @file
 * The output of the probe: lines, and the thread that writes them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

/* ---- probe-screen.c: standard output ---- */

/** The most bytes that wait for the writer. Further output is dropped and counted. */
#define PROBE_MAX_OUTPUT (UINT64_C(8) << 20)

void screen_begin(void);
/**
 * Give bytes to the writer, in order; never waits. `line`: it is a whole line, which goes between
 * the lines that a person types.
 */
void screen_write(const char *bytes, size_t len, bool line);
G_GNUC_PRINTF(1, 2) void screen_printf(const char *format, ...);
/** Wait for a short time until all output is written. */
void screen_flush(void);
/**
 * Wait until all output is written, or the reader has gone. @returns false: some could not be
 * written.
 */
bool screen_end(void);
bool screen_has_colours(void);

/* ---- probe-record.c: one line of output ---- */

/**
 * A line under construction: a JSON object, or its fields as words for a person. Fields are in the
 * order of the calls. Keys are constants of this program. Texts may have any content.
 */
struct record {
    GString *line;
    bool json;
    bool comma; /**< something is before the next field or item, in the same list or object */
    /* for a person: the number of open lists; each object in a list has its own line, */
    unsigned indent;
    bool below_list; /**< and so does a field after a list */
};

void record_begin(struct record *record, bool json, const char *event);
/** Print the line. */
void record_end(struct record *record);

void record_number(struct record *record, const char *key, uint64_t value);
/** An offset, a size or a set of bits. A person sees it in hex. */
void record_hex(struct record *record, const char *key, uint64_t value);
/** The same for a size. A person sees 16 MiB. */
void record_size(struct record *record, const char *key, uint64_t value);
void record_decimal(struct record *record, const char *key, double value);
void record_result(struct record *record, int32_t value);
void record_bool(struct record *record, const char *key, bool value);
void record_text(struct record *record, const char *key, const char *text);
/** Bytes, two hex digits each. */
void record_bytes(struct record *record, const char *key, const uint8_t *bytes, size_t len);
/** The same for a person: rows of sixteen bytes with offsets and characters. */
void record_dump(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len);

void record_list_begin(struct record *record, const char *key);
void record_list_text(struct record *record, const char *text);
void record_list_end(struct record *record);
/** An object: an item of a list (key NULL), or a field. */
void record_object_begin(struct record *record, const char *key);
void record_object_end(struct record *record);

/** A list of the id and the size of each region. */
void record_regions(struct record *record, vhushmem_device *device);

#endif
