/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_WATCHER_H
#define VHUSHMEM_TESTS_WATCHER_H

/*
 * A listener that writes down what it hears: "b" for begin, "c" for commit, "+" and "-" for
 * region_add and region_del with the section: its first page and, if that is not 1, "x" and its
 * pages; "r" if it is read-only. "b +4x2r c" is a read-only mapping of pages 4 and 5.
 */

#include "harness.h"

#include <vhushmem/series.h>

typedef struct watcher {
    MemoryListener listener; /* first */
    GString *heard;
    MemoryRegionSection last;
} watcher;

static inline void watcher_hear(MemoryListener *listener, const char *what,
                                MemoryRegionSection *section)
{
    watcher *w = (watcher *)listener;
    g_string_append_printf(w->heard, "%s%s", w->heard->len > 0 ? " " : "", what);
    if (section != NULL) {
        g_string_append_printf(w->heard, "%" PRIu64, section->offset_within_region / PAGE);
        if (section->size != PAGE) {
            g_string_append_printf(w->heard, "x%" PRIu64, section->size / PAGE);
        }
        g_string_append(w->heard, section->readonly ? "r" : "");
        w->last = *section;
    }
}

static inline void watcher_begin(MemoryListener *listener) { watcher_hear(listener, "b", NULL); }
static inline void watcher_commit(MemoryListener *listener) { watcher_hear(listener, "c", NULL); }
static inline void watcher_add(MemoryListener *listener, MemoryRegionSection *section)
{
    watcher_hear(listener, "+", section);
}
static inline void watcher_del(MemoryListener *listener, MemoryRegionSection *section)
{
    watcher_hear(listener, "-", section);
}

static inline void watch(watcher *w, MemoryRegion *root)
{
    *w = (watcher){.listener = {.begin = watcher_begin,
                                .commit = watcher_commit,
                                .region_add = watcher_add,
                                .region_del = watcher_del,
                                .name = "watcher"},
                   .heard = g_string_new(NULL)};
    memory_listener_register(&w->listener, root);
}

/* It has heard exactly this since the last check. */
static inline void hears(watcher *w, const char *wanted)
{
    if (strcmp(w->heard->str, wanted) != 0) {
        FAIL("heard \"%s\", not \"%s\"", w->heard->str, wanted);
    }
    g_string_truncate(w->heard, 0);
}

static inline void unwatch(watcher *w, const char *wanted)
{
    memory_listener_unregister(&w->listener);
    hears(w, wanted);
    g_string_free(w->heard, TRUE);
}

#endif
