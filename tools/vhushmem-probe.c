/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * vhushmem-probe: plays a front-end for any vhost-user back-end, plays a device, stands between the two, and records messages
 * and plays them again.
 */

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "probe-driver.h"
#include "probe-wire.h"

/** Open the standard descriptors that are closed. Otherwise a socket would get their number. */
static void open_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

static gboolean on_end(gpointer user_data)
{
    struct probe *probe = user_data;

    probe->quitting = true;
    g_main_loop_quit(probe->loop);
    return G_SOURCE_REMOVE;
}

/** @returns 0, or the exit status: the capture cannot be made. */
static int begin_capture(struct probe *probe, const struct probe_options *options)
{
    if (options->record == NULL) {
        return STATUS_DONE;
    }
    probe->capture = capture_create(options->record);
    return probe->capture != NULL ? STATUS_DONE : probe_usage_error("%s: %s", options->record, g_strerror(errno));
}

/**
 * Do what may fail because of the options, or may wait: a capture that is a pipe waits for its reader. @returns 0, or the exit
 * status.
 */
static int prepare(struct probe *probe, const struct probe_options *options)
{
    char *sentence;
    int status;

    if (options->device != NULL && probe->device_id == 0) {
        return probe_usage_error("--device %s: there is no such device", options->device);
    }
    sentence = filter_begin(options);
    status = sentence != NULL ? probe_usage_error("%s", sentence) : begin_capture(probe, options);
    g_free(sentence);
    return status;
}

static int run_mode(struct probe *probe, const struct probe_options *options)
{
    int status;

    if (options->seconds > 0) {
        g_timeout_add((guint)(options->seconds * 1000), on_end, probe);
    }
    switch (options->mode) {
    case MODE_CONNECT:
        status = probe_make_frontend(probe, options);
        if (status == STATUS_DONE) {
            probe_connect_run(probe, options);
        }
        return status;
    case MODE_PROXY:
        return probe_proxy_run(probe, options);
    case MODE_BACKEND:
        return probe_backend_run(probe, options);
    case MODE_REPLAY:
        return probe_replay_run(probe, options);
    }
    return STATUS_USAGE;
}

/** The exit status, from all that happened. */
static int exit_status(const struct probe *probe)
{
    /*
     * The old form without subcommands has these: 1 if the handshake failed, and else 0 at the end, whatever happened to the
     * back-end.
     */
    if (!probe->options->has_subcommand && probe->handshake_failed) {
        return STATUS_UNEXPECTED;
    }
    if (!probe->options->has_subcommand) {
        return probe->status;
    }
    if (probe->status != STATUS_DONE) {
        return probe->status;
    }
    if (probe->lost && !probe->loss_expected) {
        return STATUS_LOST;
    }
    return probe->no_shmem && !probe->was_driven ? STATUS_NO_SHMEM : STATUS_DONE;
}

static void free_probe(struct probe *probe)
{
    driver_free(probe);
    probe_script_free(probe);
    probe_kvm_close(probe);
    if (probe->mode == MODE_PROXY) {
        vhushmem_device_unref(probe->device);
    }
    vhushmem_frontend_free(probe->frontend);
    vhushmem_backend_free(probe->backend);
    traffic_free(probe);
    filter_end();
    g_main_loop_unref(probe->loop);
}

/** Run the program after its options. @returns the exit status. */
static int run(struct probe *probe, const struct probe_options *options)
{
    int status = prepare(probe, options);

    if (status != STATUS_DONE) {
        return status;
    }
    g_unix_signal_add(SIGINT, on_end, probe);
    g_unix_signal_add(SIGTERM, on_end, probe);
    suspend_begin(probe);
    screen_begin();
    status = run_mode(probe, options);
    if (status == STATUS_DONE && options->summary && probe->traffic != NULL) {
        traffic_print_summary(probe);
    }
    status = status == STATUS_DONE ? exit_status(probe) : status;
    if (probe->capture != NULL && !capture_close(probe->capture) && status == STATUS_DONE) {
        fprintf(stderr, "vhushmem-probe: cannot write to %s\n", options->record);
        status = STATUS_UNEXPECTED;
    }
    /* A result that could not be written is a failure. */
    if (!screen_end() && status == STATUS_DONE) {
        fprintf(stderr, "vhushmem-probe: cannot write to standard output\n");
        status = STATUS_UNEXPECTED;
    }
    return status;
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    setlocale(LC_CTYPE, ""); /* for the characters that the terminal can show */
    signal(SIGPIPE, SIG_IGN);

    struct probe_options options = {0};
    struct probe probe = {.vm = -1, .front = -1};
    int status = probe_parse_options(&options, argc, argv);

    if (status < 0) {
        probe.loop = g_main_loop_new(NULL, FALSE);
        probe.mode = options.mode;
        probe.options = &options;
        probe.json = options.json;
        probe.stays = options.until_disconnect || options.seconds > 0 || options.mode != MODE_CONNECT;
        probe.loss_expected = options.until_disconnect;
        probe.device_id = options.device != NULL ? virtio_device_id(options.device) : 0;
        status = run(&probe, &options);
        free_probe(&probe);
    }
    probe_free_options(&options);
    return status;
}
