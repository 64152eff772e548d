/* SPDX-License-Identifier: BSD-3-Clause */

#include "probe.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool probe_parse_number(const char *text, uint64_t max, uint64_t *value)
{
    bool hex = g_str_has_prefix(text, "0x");

    return g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, max, value, NULL);
}

/** @returns the number of bits that a unit shifts, or -1: it is no unit. */
static int unit_shift(const char *unit)
{
    static const char letters[] = "KMGTPE";
    const char *letter = unit[0] != '\0' ? strchr(letters, g_ascii_toupper(unit[0])) : NULL;

    if (letter == NULL ||
        (unit[1] != '\0' && g_ascii_strcasecmp(unit + 1, "B") != 0 && g_ascii_strcasecmp(unit + 1, "iB") != 0)) {
        return -1;
    }
    return 10 * (int)(letter - letters + 1);
}

bool probe_parse_size(const char *text, uint64_t max, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    char *number;
    int shift;
    bool is_number;

    if (g_str_has_prefix(text, "0x") || text[digits] == '\0') {
        return probe_parse_number(text, max, value);
    }
    shift = unit_shift(text + digits);
    if (digits == 0 || shift < 0) {
        return false;
    }
    number = g_strndup(text, digits);
    is_number = probe_parse_number(number, UINT64_MAX >> shift, value);
    g_free(number);
    if (!is_number || *value > max >> shift) {
        return false;
    }
    *value <<= shift;
    return true;
}

bool probe_parse_seconds(const char *text, double *seconds)
{
    char *end;

    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    *seconds = g_ascii_strtod(text, &end);
    /* The most that a timer of milliseconds can hold. */
    return *end == '\0' && isfinite(*seconds) && *seconds <= 2000000;
}

char *probe_size_text(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < G_N_ELEMENTS(units)) {
        bytes /= 1024;
        unit++;
    }
    return g_strdup_printf("%" PRIu64 " %s", bytes, units[unit]);
}

uint8_t *probe_parse_hex(const char *hex, uint64_t *len)
{
    size_t digits = strlen(hex);
    uint8_t *bytes;

    if (digits == 0 || digits % 2 != 0 || digits / 2 > PROBE_MAX_LEN || strspn(hex, "0123456789abcdefABCDEF") != digits) {
        return NULL;
    }
    bytes = g_malloc(digits / 2);
    for (size_t i = 0; i < digits / 2; i++) {
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    }
    *len = digits / 2;
    return bytes;
}
