/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: idle WHAT SOURCES TURNS. A GMainLoop with SOURCES front-ends that have nothing to do (`ours`), or with so many of
 * GLib's sources that have one socket each and no function but dispatch (`floor`). Prints the nanoseconds of one source in a
 * turn. Under callgrind with --collect-atstart=no, callgrind counts the instructions of all turns.
 */
#include "front-ends.h"

#include <valgrind/callgrind.h>

static gboolean go_on(GSource *source, GSourceFunc callback, gpointer user_data)
{
    (void)source;
    (void)callback;
    (void)user_data;
    return TRUE;
}

static GSourceFuncs bare = {.dispatch = go_on};

static void add_bare(GMainContext *context)
{
    int pair[2];
    GSource *source = g_source_new(&bare, sizeof(GSource));
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    g_source_add_unix_fd(source, pair[0], G_IO_IN);
    g_source_attach(source, context);
    g_source_unref(source);
}

int main(int argc, char **argv)
{
    MUST(argc == 4);
    bool ours = strcmp(argv[1], "ours") == 0;
    uint64_t sources = number_of(argv[2]), turns = number_of(argv[3]);
    GMainContext *context = g_main_context_new();
    allow_descriptors();
    for (uint64_t i = 0; i < sources; i++) {
        if (ours) {
            front_end f = open_front_end(context, 1, 16);
            (void)f;
        } else {
            add_bare(context);
        }
    }
    while (g_main_context_iteration(context, FALSE)) {}
    uint64_t began = now_ns();
    CALLGRIND_TOGGLE_COLLECT;
    for (uint64_t i = 0; i < turns; i++) {
        g_main_context_iteration(context, FALSE);
    }
    CALLGRIND_TOGGLE_COLLECT;
    printf("turn %.1f\n", (double)(now_ns() - began) / (double)turns / (double)sources);
    return 0;
}
