/* SPDX-License-Identifier: BSD-3-Clause */

/** The subcommands proxy and record: stand between a VMM and a device, and change nothing. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "probe-wire.h"

/* The time until the next try after a connection could not be taken. */
#define RETRY_MS 1000

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

static void watch_listener(struct probe *probe);

static void on_ended(struct probe *probe)
{
    traffic_ended(probe);
    vhushmem_device_unmap_all(probe->device);
    probe->lost = true;
    say(probe, "disconnect", NULL);
    if (probe->options->until_disconnect) {
        g_main_loop_quit(probe->loop);
    } else {
        watch_listener(probe);
    }
}

static gboolean on_retry(gpointer user_data)
{
    watch_listener(user_data);
    return G_SOURCE_REMOVE;
}

/** Connect a VMM with the device. The next VMM waits until this one has left. */
static gboolean on_connection(gint fd, GIOCondition condition, gpointer user_data)
{
    struct probe *probe = user_data;
    int front = accept4(fd, NULL, NULL, SOCK_CLOEXEC), back;

    (void)condition;
    if (front < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) {
        return G_SOURCE_CONTINUE;
    }
    if (front < 0) { /* perhaps no descriptor is left: that may change */
        say(probe, "error", g_strerror(errno));
        g_timeout_add(RETRY_MS, on_retry, probe);
        return G_SOURCE_REMOVE;
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
    /* This may be another device, with other regions. */
    vhushmem_device_unref(probe->device);
    probe->device = vhushmem_device_new(NULL, NULL);
    probe->lost = false;
    probe->connections++;
    say(probe, "connected", NULL);
    relay_start(probe, front, back, false, on_ended);
    return G_SOURCE_REMOVE;
}

static int listener = -1;

static void watch_listener(struct probe *probe) { g_unix_fd_add(listener, G_IO_IN, on_connection, probe); }

int probe_proxy_run(struct probe *probe, const struct probe_options *options)
{
    struct probe_options shown = *options;

    listener = socket_listen(options->listen);
    if (listener < 0) {
        fprintf(stderr, "vhushmem-probe: %s: %s\n", options->listen, g_strerror(-listener));
        return STATUS_LOST;
    }
    /* If messages are only recorded, they are not printed. */
    shown.dump_wire = options->dump_wire || options->record == NULL;
    probe->device = vhushmem_device_new(NULL, NULL);
    traffic_begin(probe, &shown, true);
    watch_listener(probe);
    probe_input_begin(probe);
    if (!options->dump_wire) {
        probe_view_begin(probe);
    }
    g_main_loop_run(probe->loop);
    probe_view_end(probe);
    probe_input_free(probe);
    close(listener);
    socket_unlink(options->listen);
    /* A proxy loses nothing when a VMM leaves. */
    probe->loss_expected = true;
    return STATUS_DONE;
}
