/* SPDX-License-Identifier: BSD-3-Clause */

/** The subcommand backend: plays a device. Its mappings and answers are commands. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe-wire.h"

static struct {
    uint8_t *config;
    uint32_t config_size;
} device;

/* ---- mappings ---- */

static void on_result(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    struct probe *probe = user_data;
    const char *name = probe->busy != NULL ? probe->busy->name : NULL;
    struct record answer;

    (void)backend;
    if (result != 0 || name == NULL) {
        probe->counters.refused++;
        probe_finish(probe, g_strdup(message));
        return;
    }
    *(strcmp(name, "map") == 0 ? &probe->counters.maps : &probe->counters.unmaps) += 1;
    probe_answer_begin(probe, &answer);
    record_result(&answer, result);
    probe_answer_end(probe, &answer);
    probe_note_event(probe, name);
}

static int open_file(const char *name, bool rw, uint64_t len)
{
    int fd;

    if (strcmp(name, "memfd") != 0) {
        /* With O_NONBLOCK, open does not wait for the writer of a pipe. */
        return open(name, (rw ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    }
    fd = memfd_create("vhushmem-probe", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)len) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/** map SHMID OFFSET LEN FILE|memfd [FILE-OFFSET] [rw] */
static char *begin_map(struct probe *probe, char **words)
{
    uint64_t shmid, offset, len, fd_offset = 0;
    char **next = words + 5;
    bool rw = false;
    GError *error = NULL;
    char *sentence;
    int fd;

    if (!probe_parse_number(words[1], UINT8_MAX, &shmid) || !probe_parse_size(words[2], UINT64_MAX, &offset) ||
        !probe_parse_size(words[3], UINT64_MAX, &len)) {
        return g_strdup("SHMID, OFFSET and LEN are numbers");
    }
    if (*next != NULL && probe_parse_size(*next, UINT64_MAX, &fd_offset)) {
        next++;
    }
    if (*next != NULL && strcmp(*next, "rw") == 0) {
        rw = true;
        next++;
    }
    if (*next != NULL || len > INT64_MAX - MIN(fd_offset, INT64_MAX)) {
        return g_strdup("after FILE may come an offset in it, and rw");
    }
    fd = open_file(words[4], rw, fd_offset + len);
    if (fd < 0) {
        return g_strdup_printf("%s: %s", words[4], g_strerror(errno));
    }
    sentence = probe_outcome(vhushmem_backend_map_async(probe->backend, (uint8_t)shmid, fd, fd_offset, offset, len,
                                                        rw ? VHOST_USER_FLAG_MAP_RW : 0, on_result, probe, NULL, &error),
                             &error);
    close(fd);
    return sentence;
}

static char *begin_unmap(struct probe *probe, char **words)
{
    uint64_t shmid, offset, len;
    GError *error = NULL;

    if (!probe_parse_number(words[1], UINT8_MAX, &shmid) || !probe_parse_size(words[2], UINT64_MAX, &offset) ||
        !probe_parse_size(words[3], UINT64_MAX, &len)) {
        return g_strdup("SHMID, OFFSET and LEN are numbers");
    }
    return probe_outcome(
        vhushmem_backend_unmap_async(probe->backend, (uint8_t)shmid, offset, len, on_result, probe, NULL, &error), &error);
}

/* ---- configuration, status ---- */

static int get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)backend;
    (void)user_data;
    memcpy(buf, device.config + offset, len);
    return 0;
}

static int set_config(vhushmem_backend *backend, uint32_t offset, const void *buf, uint32_t len, unsigned flags,
                      void *user_data)
{
    struct probe *probe = user_data;
    struct record record;

    (void)backend;
    (void)flags;
    memcpy(device.config + offset, buf, len);
    record_begin(&record, probe->json, "config_written");
    record_hex(&record, "offset", offset);
    record_bytes(&record, "hex", buf, len);
    record_end(&record);
    probe_note_event(probe, "config_written");
    return 0;
}

static int set_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    struct probe *probe = user_data;
    struct record record;

    (void)backend;
    record_begin(&record, probe->json, "device_status");
    record_hex(&record, "value", status);
    record_end(&record);
    probe_note_event(probe, "device_status");
    return 0;
}

static char *run_config_changed(struct probe *probe, char **words, struct record *answer)
{
    GError *error = NULL;

    (void)words;
    (void)answer;
    return probe_outcome(vhushmem_backend_config_changed(probe->backend, &error), &error);
}

/* ---- events ---- */

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    struct probe *probe = user_data;
    struct record record;
    const char *name = event->type == VHUSHMEM_BACKEND_CONNECTED    ? "connected"
                       : event->type == VHUSHMEM_BACKEND_NEGOTIATED ? "ready"
                       : event->type == VHUSHMEM_BACKEND_RESET      ? "reset"
                                                                    : "disconnect";

    record_begin(&record, probe->json, name);
    if (event->type == VHUSHMEM_BACKEND_NEGOTIATED) {
        record_hex(&record, "features", vhushmem_backend_features(backend));
        record_protocol_features(&record, probe, vhushmem_backend_protocol_features(backend));
        record_hex(&record, "protocol_feature_bits", vhushmem_backend_protocol_features(backend));
        probe->was_ready = true;
        probe->lost = false;
    }
    if (event->message != NULL) {
        record_text(&record, "message", event->message);
    }
    record_end(&record);
    if (event->type == VHUSHMEM_BACKEND_RESET) {
        probe->counters.resets++;
    }
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        chains_drop(UINT_MAX);
        probe->lost = true;
    }
    probe_note_event(probe, name);
    if (event->type == VHUSHMEM_BACKEND_NEGOTIATED) {
        probe_input_resume(probe);
    } else if (event->type == VHUSHMEM_BACKEND_DISCONNECT && probe->options->until_disconnect) {
        g_main_loop_quit(probe->loop);
    }
}

/* ---- the subcommand ---- */

static int make(struct probe *probe, const struct probe_options *options)
{
    vhushmem_backend_options o = {.struct_size = sizeof(o), .flags = options->for_qemu ? VHUSHMEM_BACKEND_FOR_QEMU : 0};
    const vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                                .queue = chains_on_queue,
                                                .get_config = get_config,
                                                .set_config = set_config,
                                                .set_status = set_status};
    uint64_t number;
    GError *error = NULL;

    if (options->queues != NULL && (!probe_parse_number(options->queues, 256, &number) || number == 0)) {
        return probe_usage_error("--queues is a number from 1 to 256, not %s", options->queues);
    }
    o.num_queues = options->queues != NULL ? (uint32_t)number : 1;
    if (options->config_size != NULL && !probe_parse_size(options->config_size, 65536, &number)) {
        return probe_usage_error("--config-size is a size up to 64K, not %s", options->config_size);
    }
    o.config_size = device.config_size = options->config_size != NULL ? (uint32_t)number : 0;
    device.config = g_malloc0(MAX(device.config_size, 1));
    if (options->features != NULL && !probe_parse_number(options->features, UINT64_MAX, &o.features)) {
        return probe_usage_error("--features is a number, not %s", options->features);
    }
    if (options->shmem_bit != NULL && (!probe_parse_number(options->shmem_bit, 22, &number) || number < 20)) {
        return probe_usage_error("--shmem-bit is 20, 21 or 22, not %s", options->shmem_bit);
    }
    o.shmem_bit = options->shmem_bit != NULL ? (uint32_t)number : VHOST_USER_PROTOCOL_F_SHMEM;
    probe->shmem_bit = o.shmem_bit;
    probe->backend = vhushmem_backend_new(&o, &error);
    for (char **r = options->regions; probe->backend != NULL && error == NULL && r != NULL && *r != NULL; r++) {
        uint64_t shmid, size;

        if (!probe_parse_region(*r, &shmid, &size)) {
            return probe_usage_error("--region is ID:SIZE, two numbers, the first below 256, not %s", *r);
        }
        vhushmem_backend_add_region(probe->backend, (uint8_t)shmid, size, &error);
        complete_note_region((uint8_t)shmid);
    }
    if (error == NULL) {
        vhushmem_backend_set_callback(probe->backend, on_event, probe, NULL);
        vhushmem_backend_set_handlers(probe->backend, &handlers, probe, NULL, &error);
    }
    if (error != NULL) {
        int status = probe_usage_error("%s", error->message);

        g_error_free(error);
        return status;
    }
    return STATUS_DONE;
}

int probe_backend_run(struct probe *probe, const struct probe_options *options)
{
    int status = make(probe, options), rc;
    GError *error = NULL;

    if (status != STATUS_DONE) {
        return status;
    }
    rc = options->listen != NULL ? vhushmem_backend_listen(probe->backend, options->listen, &error)
                                 : vhushmem_backend_connect(probe->backend, options->connect, &error);
    if (rc < 0) {
        fprintf(stderr, "vhushmem-probe: %s\n", error->message);
        g_error_free(error);
        return STATUS_LOST;
    }
    GSource *source = vhushmem_backend_source_new(probe->backend);

    g_source_attach(source, NULL);
    g_source_unref(source);
    probe_input_begin(probe);
    g_main_loop_run(probe->loop);
    probe_input_free(probe);
    chains_drop(UINT_MAX);
    g_free(device.config);
    /* A device loses nothing when a front-end leaves. */
    probe->loss_expected = true;
    return STATUS_DONE;
}

const struct command backend_commands[] = {
    {"map", "map SHMID OFFSET LEN FILE|memfd [FILE-OFFSET] [rw]", "ask the front-end to map a file", 5, 7, MODE_BACKEND,
     NEEDS_PEER, NULL, begin_map},
    {"unmap", "unmap SHMID OFFSET LEN", "ask it to undo a mapping", 4, 4, MODE_BACKEND, NEEDS_PEER, NULL, begin_unmap},
    {"give", "give CHAIN [HEX]", "give a request back to the driver, with these bytes", 2, 3, MODE_BACKEND, NEEDS_PEER,
     chains_run_give, NULL},
    {"config-changed", "config-changed", "tell the front-end that the configuration space has changed", 1, 1, MODE_BACKEND,
     NEEDS_PEER, run_config_changed, NULL},
    {0},
};
