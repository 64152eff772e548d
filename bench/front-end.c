/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: front-end SOCKET. A VMM in a GMainLoop. It serves the back-end at the other end of the descriptor until that
 * disconnects.
 */
#include "measure.h"

#include <vhushmem/vhushmem.h>

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    if (event->type == VHUSHMEM_EVENT_CHANNEL_LOST || event->type == VHUSHMEM_EVENT_DISCONNECT) {
        g_main_loop_quit(user_data);
    }
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    vhushmem_frontend *frontend = vhushmem_frontend_new_fd((int)number_of(argv[1]), NULL, NULL);
    MUST(frontend != NULL);
    MUST(vhushmem_frontend_set_callback(frontend, event, loop, NULL) == 0);
    GSource *source = vhushmem_frontend_source_new(frontend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    MUST(vhushmem_frontend_start(frontend, NULL) == 0);
    g_main_loop_run(loop);
    vhushmem_frontend_free(frontend);
    g_main_loop_unref(loop);
    return 0;
}
