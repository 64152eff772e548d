/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * vhushmem-probe: a front-end for any back-end with shared memory regions. It shakes hands, says what it found, serves requests
 * and says so, and takes commands on standard input that look at the memory.
 */

#include "probe.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An exit status. */
#define STATUS_NO_HANDSHAKE 1

/* ---- events ---- */

/** Why, for what did not go well. */
static void record_message(struct record *record, const vhushmem_event *event)
{
    if (event->message != NULL) {
        record_text(record, "message", event->message);
    }
}

static void on_ready(struct probe *probe)
{
    uint64_t protocol_features = vhushmem_frontend_protocol_features(probe->frontend);
    struct record record;

    probe->was_ready = true;
    probe_view_refresh(probe);
    record_begin(&record, probe->json, "ready");
    record_hex(&record, "features", vhushmem_frontend_features(probe->frontend));
    record_list_begin(&record, "protocol_features");
    for (unsigned bit = 0; bit < 64; bit++) {
        /* Where an older bit stands for SHMEM it does not stand for what has the bit today. */
        const char *name = bit == probe->shmem_bit ? "SHMEM" : vhushmem_protocol_feature_name(bit);

        if (((protocol_features >> bit) & 1) != 0) {
            record_list_text(&record, name != NULL ? name : "?");
        }
    }
    record_list_end(&record);
    record_number(&record, "max_queues", vhushmem_frontend_max_queues(probe->frontend));
    record_regions(&record, probe->device);
    probe_place(probe, &record);
    record_end(&record);
    probe_input_quit_if_done(probe);
}

static void count_request(struct probe *probe, const vhushmem_event *event)
{
    if (event->result != 0) {
        probe->counters.refused++;
    } else if (event->type == VHUSHMEM_EVENT_MAP) {
        probe->counters.maps++;
        probe->counters.bytes_mapped += event->len;
    } else if (event->type == VHUSHMEM_EVENT_UNMAP) {
        probe->counters.unmaps++;
    }
}

static void on_map(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "map");
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_hex(&record, "fd_offset", event->fd_offset);
    record_bool(&record, "rw", (event->flags & VHOST_USER_FLAG_MAP_RW) != 0);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

static void on_unmap(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "unmap");
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

static void on_other_request(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "other_request");
    record_number(&record, "request", event->request);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

static void on_broken(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    record_begin(&record, probe->json, "broken");
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_message(&record, event);
    record_end(&record);
}

/** What has a result and a message at the most: reset, channel_lost, disconnect. */
static void say(struct probe *probe, const char *name, const vhushmem_event *event)
{
    struct record record;

    record_begin(&record, probe->json, name);
    if (event->result != 0) {
        record_result(&record, event->result);
    }
    record_message(&record, event);
    record_end(&record);
}

static void fail_handshake(struct probe *probe, int32_t result, const char *message)
{
    probe->status = STATUS_NO_HANDSHAKE;
    if (probe->json) {
        struct record record;

        record_begin(&record, true, "error");
        record_result(&record, result);
        record_text(&record, "message", message);
        record_end(&record);
    } else {
        fprintf(stderr, "vhushmem-probe: %s\n", message);
    }
    g_main_loop_quit(probe->loop);
}

static void on_disconnect(struct probe *probe, const vhushmem_event *event)
{
    if (!probe->was_ready) {
        fail_handshake(probe, event->result, event->message != NULL ? event->message : "the back-end went away");
        return;
    }
    say(probe, "disconnect", event);
    probe_answer_reset(probe, "the back-end went away before the reset was complete");
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    struct probe *probe = user_data;

    (void)frontend;
    switch (event->type) {
    case VHUSHMEM_EVENT_READY:
        on_ready(probe);
        break;
    case VHUSHMEM_EVENT_MAP:
        count_request(probe, event);
        on_map(probe, event);
        break;
    case VHUSHMEM_EVENT_UNMAP:
        count_request(probe, event);
        on_unmap(probe, event);
        break;
    case VHUSHMEM_EVENT_OTHER_REQUEST:
        count_request(probe, event);
        on_other_request(probe, event);
        break;
    case VHUSHMEM_EVENT_CONFIG_CHANGE:
        say(probe, "config_change", event);
        break;
    case VHUSHMEM_EVENT_BROKEN:
        on_broken(probe, event);
        break;
    case VHUSHMEM_EVENT_RESET:
        probe->counters.resets++;
        say(probe, "reset", event);
        probe_answer_reset(probe, NULL);
        break;
    case VHUSHMEM_EVENT_CHANNEL_LOST:
        probe->channel_lost = true;
        say(probe, "channel_lost", event);
        break;
    case VHUSHMEM_EVENT_DISCONNECT:
        on_disconnect(probe, event);
        break;
    default:
        break; /* a newer library's: nothing that this program was asked to say */
    }
}

/* ---- the program ---- */

static void start(struct probe *probe)
{
    GError *error = NULL;
    int rc = vhushmem_frontend_start(probe->frontend, &error);

    if (rc < 0 && probe->status == 0) {
        fail_handshake(probe, rc, error->message);
    }
    g_clear_error(&error);
}

static void run(struct probe *probe, const struct probe_options *options)
{
    GSource *source;

    vhushmem_guard_install(NULL); /* touch reads as a VMM's thread does */
    vhushmem_frontend_set_callback(probe->frontend, on_event, probe, NULL);
    source = vhushmem_frontend_source_new(probe->frontend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    probe_input_begin(probe);
    if (!options->dump_wire) {
        probe_view_begin(probe);
    }

    if (options->dump_wire) {
        int rc = probe_wire_begin(probe, options->socket, options->server, start);

        if (rc < 0) {
            char *sentence = g_strdup_printf("%s: %s (errno %d)", options->socket, g_strerror(-rc), -rc);

            fail_handshake(probe, rc, sentence);
            g_free(sentence);
        }
    } else {
        start(probe);
    }
    /* A loop can't be told to end before it runs. */
    if (probe->status == 0) {
        g_main_loop_run(probe->loop);
    }
    probe_view_end(probe);
    probe_input_free(probe);
}

/** A standard descriptor that is closed would become a socket's. */
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

int main(int argc, char **argv)
{
    open_standard_descriptors();
    setlocale(LC_CTYPE, ""); /* what the terminal can show */

    struct probe_options options = {0};
    static struct probe probe; /* threads of --dump-wire may outlive main */

    probe.vm = -1;
    probe.loop = g_main_loop_new(NULL, FALSE);
    int status = probe_parse_options(&options, &argc, &argv);

    if (status == 0 && options.version) {
        printf("vhushmem-probe %d.%d.%d, library %s\n", VHUSHMEM_VERSION_MAJOR, VHUSHMEM_VERSION_MINOR, VHUSHMEM_VERSION_MICRO,
               vhushmem_version_string());
    } else if (status == 0) {
        status = probe_make_frontend(&probe, &options);
        if (status == 0) {
            run(&probe, &options);
            status = probe.status;
            /* What was not written was not said. */
            if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
                fprintf(stderr, "vhushmem-probe: cannot write to the standard output\n");
                status = 1;
            }
        }
    }
    probe_kvm_close(&probe);
    vhushmem_frontend_free(probe.frontend);
    g_main_loop_unref(probe.loop);
    g_free(options.socket);
    g_free(options.strategy);
    g_free(options.holes);
    g_free(options.shmem_bit);
    g_strfreev(options.regions);
    return status;
}
