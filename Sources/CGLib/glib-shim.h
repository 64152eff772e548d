/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GLIB_SHIM_H
#define VHUSHMEM_GLIB_SHIM_H

/* First, so that what the C library declares (errno values, struct stat) belongs to one module, CLinux, and not to two. */
#include "../CLinux/linux-shim.h"

#include <glib.h>

/* Swift imports no variadic function; every message of ours is complete before it gets here. */
static inline void vhushmem_glib_log(GLogLevelFlags level, const char *message) { g_log("vhushmem", level, "%s", message); }

/* A GSource with room for the object that it drives. */
struct vhushmem_glib_source {
    GSource base;
    void *state;
};

#endif
