/* SPDX-License-Identifier: BSD-3-Clause */

/** The subcommands proxy and record: stand between a VMM and a device, and leave both as they are. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "probe-wire.h"

static void say(struct probe *probe, const char *event, const char *message)
{
    struct record record;

    record_begin(&record, probe->json, event);
    if (message != NULL) {
        record_text(&record, "message", message);
    }
    record_end(&record);
    probe_note_event(probe, event);
}

static void on_ended(struct probe *probe)
{
    traffic_ended(probe);
    vhushmem_device_unmap_all(probe->device);
    probe->lost = true;
    say(probe, "disconnect", NULL);
    if (probe->options->until_disconnect) {
        g_main_loop_quit(probe->loop);
    }
}

/** A VMM has come: connect it with the device. */
static gboolean on_connection(gint fd, GIOCondition condition, gpointer user_data)
{
    struct probe *probe = user_data;
    int front = accept4(fd, NULL, NULL, SOCK_CLOEXEC), back;

    (void)condition;
    if (front < 0) {
        return G_SOURCE_CONTINUE;
    }
    back = socket_connect(probe->options->connect);
    if (back < 0) {
        char *sentence = g_strdup_printf("%s: %s (errno %d)", probe->options->connect, g_strerror(-back), -back);

        close(front);
        say(probe, "error", sentence);
        g_free(sentence);
        probe->lost = true;
        if (probe->options->until_disconnect) {
            probe_set_status(probe, STATUS_LOST);
            g_main_loop_quit(probe->loop);
        }
        return G_SOURCE_CONTINUE;
    }
    /* Another device may be there now: its regions are not those of the last one. */
    vhushmem_device_unref(probe->device);
    probe->device = vhushmem_device_new(NULL, NULL);
    probe->lost = false;
    say(probe, "connected", NULL);
    relay_start(probe, front, back, false, on_ended);
    return G_SOURCE_CONTINUE;
}

int probe_proxy_run(struct probe *probe, const struct probe_options *options)
{
    struct probe_options shown = *options;
    int fd = socket_listen(options->listen);

    if (fd < 0) {
        fprintf(stderr, "vhushmem-probe: %s: %s\n", options->listen, g_strerror(-fd));
        return STATUS_LOST;
    }
    /* With a live view the messages are not lines of their own; nor are they where they are only kept. */
    shown.dump_wire = options->dump_wire || options->record == NULL;
    probe->device = vhushmem_device_new(NULL, NULL);
    traffic_begin(probe, &shown, true);
    g_unix_fd_add(fd, G_IO_IN, on_connection, probe);
    probe_input_begin(probe);
    if (!options->dump_wire) {
        probe_view_begin(probe);
    }
    g_main_loop_run(probe->loop);
    probe_view_end(probe);
    probe_input_free(probe);
    close(fd);
    socket_unlink(options->listen);
    /* A VMM that has left is no loss to a proxy. */
    probe->loss_expected = true;
    return STATUS_DONE;
}
