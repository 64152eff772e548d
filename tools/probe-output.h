/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_OUTPUT_H
#define VHUSHMEM_PROBE_OUTPUT_H

/**
 * @file
 * What the probe says: lines, and who writes them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

/* ---- probe-screen.c: standard output ---- */

/** So many bytes may wait to be written. What comes beyond them is dropped and counted. */
#define PROBE_MAX_OUTPUT (UINT64_C(8) << 20)

void screen_begin(void);
/**
 * Have it written, in order; never waits. `line`: it is a whole line, which goes between what a
 * person types.
 */
void screen_write(const char *bytes, size_t len, bool line);
G_GNUC_PRINTF(1, 2) void screen_printf(const char *format, ...);
/** Wait until what was said is written; not for long. */
void screen_flush(void);
/**
 * Wait until all is written, or nobody reads any more. @returns false: something could not be
 * written.
 */
bool screen_end(void);
bool screen_has_colours(void);

/* ---- probe-record.c: one line of output ---- */

/**
 * A line under construction: a JSON object, or its fields as words for a human reader. What is put
 * into it stands in the order of the calls. Keys are constants of this program; texts may hold
 * anything.
 */
struct record {
    GString *line;
    bool json;
    bool comma; /**< something stands before what comes next, in the same list or object */
    /* for humans: how many lists are open; their objects stand in lines of their own, */
    unsigned indent;
    bool below_list; /**< and so does what comes after them */
};

void record_begin(struct record *record, bool json, const char *event);
/** Print the line. */
void record_end(struct record *record);

void record_number(struct record *record, const char *key, uint64_t value);
/** An offset, a size or a set of bits: humans see it in hex. */
void record_hex(struct record *record, const char *key, uint64_t value);
/** The same: humans see 16 MiB. */
void record_size(struct record *record, const char *key, uint64_t value);
void record_decimal(struct record *record, const char *key, double value);
void record_result(struct record *record, int32_t value);
void record_bool(struct record *record, const char *key, bool value);
void record_text(struct record *record, const char *key, const char *text);
/** Bytes, two hex digits each. */
void record_bytes(struct record *record, const char *key, const uint8_t *bytes, size_t len);
/** The same for a human: rows of sixteen with their offsets and characters. */
void record_dump(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len);

void record_list_begin(struct record *record, const char *key);
void record_list_text(struct record *record, const char *text);
void record_list_end(struct record *record);
/** An object: an item of a list (key NULL), or a field. */
void record_object_begin(struct record *record, const char *key);
void record_object_end(struct record *record);

/** Every region's id and size, as a list. */
void record_regions(struct record *record, vhushmem_device *device);

#endif
