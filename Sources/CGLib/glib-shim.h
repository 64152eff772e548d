/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GLIB_SHIM_H
#define VHUSHMEM_GLIB_SHIM_H

/*
 * This comes first, so that the declarations of the C library (errno values, struct stat) belong to
 * one module, CLinux, and not to two.
 */
#include "../CLinux/linux-shim.h"

#include <inttypes.h>

#include <glib.h>

/*
 * Since GLib 2.88, GLogLevelFlags is another kind of type in Swift, with other names. These are
 * numbers with every GLib.
 */
enum {
    VHUSHMEM_LOG_CRITICAL = G_LOG_LEVEL_CRITICAL,
    VHUSHMEM_LOG_WARNING = G_LOG_LEVEL_WARNING,
    VHUSHMEM_LOG_MESSAGE = G_LOG_LEVEL_MESSAGE,
    VHUSHMEM_LOG_DEBUG = G_LOG_LEVEL_DEBUG
};

/*
 * Swift imports no variadic function. Messages of the library are complete before they come here.
 */
static inline void vhushmem_glib_log(long level, const char *message)
{
    g_log("vhushmem", (GLogLevelFlags)level, "%s", message);
}

/* The same: a number, and a character as a JSON escape. */
static inline void vhushmem_glib_append_number(GString *text, uint64_t number)
{
    g_string_append_printf(text, "%" PRIu64, number);
}

static inline void vhushmem_glib_append_escape(GString *text, guint character)
{
    g_string_append_printf(text, "\\u%04x", character);
}

/* Describes a protocol feature for people. */
static inline char *vhushmem_glib_describe_feature(const char *name, const char *purpose)
{
    return g_strconcat("VHOST_USER_PROTOCOL_F_", name, ": ", purpose, NULL);
}

/*
 * In Swift, GString's fields belong to two modules, because the public headers include GLib too. 0:
 * the text is empty.
 */
static inline char vhushmem_glib_last(const GString *text)
{
    return text->len > 0 ? text->str[text->len - 1] : 0;
}

/* g_string_free is a macro in newer releases of GLib. */
static inline char *vhushmem_glib_finish(GString *text) { return g_string_free(text, FALSE); }

/* The request of VHUSHMEM_DEBUG: 1 wire, 2 maps. */
static inline unsigned vhushmem_glib_trace_categories(void)
{
    static const GDebugKey keys[] = {{"wire", 1}, {"maps", 2}};

    return g_parse_debug_string(g_getenv("VHUSHMEM_DEBUG"), keys, G_N_ELEMENTS(keys));
}

/* Logs a trace with its structured fields; the fields after the fourth are only for maps. */
static inline void vhushmem_glib_trace(const char *message, const char *request, unsigned category,
                                       int32_t result, unsigned shmid, uint64_t offset,
                                       uint64_t length)
{
    char numbers[4][24];
    const GLogField fields[] = {
        {"MESSAGE", message, -1},
        {"PRIORITY", "5", -1},
        {"GLIB_DOMAIN", "vhushmem", -1},
        {"VHUSHMEM_CATEGORY", category == 1 ? "wire" : "maps", -1},
        {"VHUSHMEM_REQUEST", request, -1},
        {"VHUSHMEM_RESULT", numbers[0], -1},
        {"VHUSHMEM_SHMID", numbers[1], -1},
        {"VHUSHMEM_OFFSET", numbers[2], -1},
        {"VHUSHMEM_LENGTH", numbers[3], -1},
    };

    g_snprintf(numbers[0], sizeof(numbers[0]), "%" PRId32, result);
    g_snprintf(numbers[1], sizeof(numbers[1]), "%u", shmid);
    g_snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, offset);
    g_snprintf(numbers[3], sizeof(numbers[3]), "%" PRIu64, length);
    g_log_structured_array(G_LOG_LEVEL_MESSAGE, fields, category == 1 ? 5 : G_N_ELEMENTS(fields));
}

/* A GSource with room for the object that it drives. */
struct vhushmem_glib_source {
    GSource base;
    void *state;
};

#endif
