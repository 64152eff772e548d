/* SPDX-License-Identifier: BSD-3-Clause */

#include "probe.h"

#include <inttypes.h>

/**
 * Append text in a form that is safe inside quotes and on a terminal: a peer's text must not end the string or move the cursor.
 */
static void append_escaped(GString *line, const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '"' || c == '\\') {
            g_string_append_c(line, '\\');
            g_string_append_c(line, (char)c);
        } else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            g_string_append_printf(line, "\\u%04x", (unsigned)c);
        } else {
            g_string_append_unichar(line, c);
        }
    }
    g_free(valid);
}

/** Append what comes before a value: JSON's comma and key, or two spaces and the word. */
static void append_key(struct record *record, const char *key)
{
    if (record->json) {
        if (record->comma) {
            g_string_append_c(record->line, ',');
        }
        if (key != NULL) {
            g_string_append_printf(record->line, "\"%s\":", key);
        }
    } else if (key != NULL) {
        if (record->below_list && record->indent == 0) {
            g_string_append(record->line, "\n        ");
            record->below_list = false;
        }
        g_string_append_printf(record->line, "  %s", key);
    }
    record->comma = true;
}

/** The same for a single value. */
static void append_value_key(struct record *record, const char *key)
{
    append_key(record, key);
    if (!record->json && key != NULL) {
        g_string_append_c(record->line, ' ');
    }
}

void record_begin(struct record *record, bool json, const char *event)
{
    *record = (struct record){.line = g_string_new(NULL), .json = json, .comma = true};
    if (json) {
        g_string_append_printf(record->line, "{\"event\":\"%s\"", event);
    } else if (screen_has_colours()) {
        g_string_append_printf(record->line, "\033[1m%-8s\033[0m", event);
    } else {
        g_string_append_printf(record->line, "%-8s", event);
    }
}

void record_end(struct record *record)
{
    g_string_append(record->line, record->json ? "}\n" : "\n");
    screen_write(record->line->str, record->line->len, true);
    g_string_free(record->line, TRUE);
    record->line = NULL;
}

void record_number(struct record *record, const char *key, uint64_t value)
{
    append_value_key(record, key);
    g_string_append_printf(record->line, "%" PRIu64, value);
}

void record_hex(struct record *record, const char *key, uint64_t value)
{
    append_value_key(record, key);
    g_string_append_printf(record->line, record->json ? "%" PRIu64 : "0x%" PRIx64, value);
}

void record_size(struct record *record, const char *key, uint64_t value)
{
    char *text;

    if (record->json) {
        record_hex(record, key, value);
        return;
    }
    text = probe_size_text(value);
    append_value_key(record, key);
    g_string_append(record->line, text);
    g_free(text);
}

void record_decimal(struct record *record, const char *key, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    append_value_key(record, key);
    g_string_append(record->line, g_ascii_formatd(text, sizeof(text), "%.3f", value));
}

void record_result(struct record *record, int32_t value)
{
    append_value_key(record, "result");
    g_string_append_printf(record->line, "%" PRId32, value);
}

void record_bool(struct record *record, const char *key, bool value)
{
    append_value_key(record, key);
    g_string_append(record->line, value ? "true" : "false");
}

void record_text(struct record *record, const char *key, const char *text)
{
    append_value_key(record, key);
    if (record->json) {
        g_string_append_c(record->line, '"');
    }
    append_escaped(record->line, text);
    if (record->json) {
        g_string_append_c(record->line, '"');
    }
}

void record_bytes(struct record *record, const char *key, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = g_malloc(2 * len + 1);

    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * len] = '\0';
    append_value_key(record, key);
    g_string_append_printf(record->line, record->json ? "\"%s\"" : "%s", hex);
    g_free(hex);
}

void record_dump(struct record *record, uint64_t offset, const uint8_t *bytes, size_t len)
{
    for (size_t row = 0; row < len; row += 16) {
        size_t n = MIN(len - row, 16);

        g_string_append_printf(record->line, "\n%08" PRIx64 " ", offset + row);
        for (size_t i = 0; i < 16; i++) {
            const char *gap = i == 8 ? "  " : " ";

            if (i < n) {
                g_string_append_printf(record->line, "%s%02x", gap, bytes[row + i]);
            } else {
                g_string_append_printf(record->line, "%s  ", gap);
            }
        }
        g_string_append(record->line, "  |");
        for (size_t i = 0; i < n; i++) {
            g_string_append_c(record->line, g_ascii_isprint((char)bytes[row + i]) ? (char)bytes[row + i] : '.');
        }
        g_string_append_c(record->line, '|');
    }
    g_string_append_printf(record->line, "\n%08" PRIx64, offset + len);
}

void record_list_begin(struct record *record, const char *key)
{
    append_key(record, key);
    if (record->json) {
        g_string_append_c(record->line, '[');
    }
    record->comma = false;
    record->indent++;
}

void record_list_text(struct record *record, const char *text)
{
    if (record->json) {
        record_text(record, NULL, text);
        return;
    }
    g_string_append_c(record->line, ' ');
    append_escaped(record->line, text);
    record->comma = true;
}

void record_list_end(struct record *record)
{
    if (record->json) {
        g_string_append_c(record->line, ']');
    } else if (!record->comma) {
        g_string_append(record->line, " none");
    }
    record->comma = true;
    record->indent--;
}

void record_object_begin(struct record *record, const char *key)
{
    if (record->json) {
        append_key(record, key);
        g_string_append_c(record->line, '{');
    } else if (key == NULL) {
        g_string_append_printf(record->line, "\n%*s", 8 + 2 * (int)record->indent, "");
        record->below_list = true;
    } else {
        append_key(record, key);
    }
    record->comma = false;
}

void record_object_end(struct record *record)
{
    if (record->json) {
        g_string_append_c(record->line, '}');
    }
    record->comma = true;
}

void record_regions(struct record *record, vhushmem_device *device)
{
    uint8_t ids[VHUSHMEM_MAX_REGIONS];
    int count = vhushmem_device_region_ids(device, ids, G_N_ELEMENTS(ids));

    record_list_begin(record, "regions");
    for (int i = 0; i < count; i++) {
        vhushmem_region *region = vhushmem_device_find_region(device, ids[i]);

        record_object_begin(record, NULL);
        record_number(record, "shmid", ids[i]);
        record_size(record, "size", vhushmem_region_size(region));
        record_object_end(record);
    }
    record_list_end(record);
}
