/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GLIB_SHIM_H
#define VHUSHMEM_GLIB_SHIM_H

/* First, so that what the C library declares (errno values, struct stat) belongs to one module, CLinux, and not to two. */
#include "../CLinux/linux-shim.h"

#include <inttypes.h>

#include <glib.h>

/* Swift imports no variadic function; every message of ours is complete before it gets here. */
static inline void vhushmem_glib_log(GLogLevelFlags level, const char *message) { g_log("vhushmem", level, "%s", message); }

/* The same: a number, and a character as a JSON escape. */
static inline void vhushmem_glib_append_number(GString *text, uint64_t number)
{
    g_string_append_printf(text, "%" PRIu64, number);
}

static inline void vhushmem_glib_append_escape(GString *text, guint character)
{
    g_string_append_printf(text, "\\u%04x", character);
}

/* A protocol feature for people. */
static inline char *vhushmem_glib_describe_feature(const char *name, const char *purpose)
{
    return g_strconcat("VHOST_USER_PROTOCOL_F_", name, ": ", purpose, NULL);
}

/* GString's fields belong to two modules in Swift, since the public headers bring in GLib as well. 0: the text is empty. */
static inline char vhushmem_glib_last(const GString *text) { return text->len > 0 ? text->str[text->len - 1] : 0; }

/* g_string_free is a macro in newer releases of GLib. */
static inline char *vhushmem_glib_finish(GString *text) { return g_string_free(text, FALSE); }

/* A GSource with room for the object that it drives. */
struct vhushmem_glib_source {
    GSource base;
    void *state;
};

#endif
