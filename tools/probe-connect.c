/* SPDX-License-Identifier: BSD-3-Clause */

/** The front-end's side: does the handshake, prints the device's facts, serves requests and prints them. */

#include "probe.h"

#include <stdio.h>
#include <string.h>

#include "probe-driver.h"
#include "probe-wire.h"

/* ---- events ---- */

/** Record the reason of a failure. */
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
    probe->no_shmem = vhushmem_device_region_ids(probe->device, NULL, 0) == 0;
    probe_view_refresh(probe);
    complete_note_regions(probe->device);
    record_begin(&record, probe->json, "ready");
    record_hex(&record, "features", vhushmem_frontend_features(probe->frontend));
    record_virtio_features(&record, "virtio_features", probe->device_id, vhushmem_frontend_features(probe->frontend));
    record_protocol_features(&record, probe, protocol_features);
    record_number(&record, "max_queues", vhushmem_frontend_max_queues(probe->frontend));
    record_regions(&record, probe->device);
    probe_place(probe, &record);
    record_end(&record);
    probe_note_event(probe, "ready");
    probe_input_resume(probe);
}

static void count_request(struct probe *probe, const vhushmem_event *event)
{
    if (event->result != 0) {
        probe->counters.refused++;
    } else if (event->type == VHUSHMEM_EVENT_MAP) {
        probe->counters.maps++;
        probe->counters.total_mapped_bytes += event->len;
    } else if (event->type == VHUSHMEM_EVENT_UNMAP) {
        probe->counters.unmaps++;
    }
}

void probe_tell_mapping(struct probe *probe, const vhushmem_event *event)
{
    const char *name = event->type == VHUSHMEM_EVENT_MAP ? "map" : "unmap";
    struct record record;

    count_request(probe, event);
    if (!probe_view_takes(probe, event)) {
        record_begin(&record, probe->json, name);
        record_number(&record, "shmid", event->shmid);
        record_hex(&record, "shm_offset", event->shm_offset);
        record_hex(&record, "len", event->len);
        if (event->type == VHUSHMEM_EVENT_MAP) {
            record_hex(&record, "fd_offset", event->fd_offset);
            record_bool(&record, "rw", (event->flags & VHOST_USER_FLAG_MAP_RW) != 0);
        }
        record_result(&record, event->result);
        record_message(&record, event);
        record_end(&record);
    }
    probe_note_event(probe, name);
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

/** A mapping is broken, or healed. */
static void on_broken(struct probe *probe, const char *name, const vhushmem_event *event)
{
    struct record record;

    record_begin(&record, probe->json, name);
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_message(&record, event);
    record_end(&record);
    probe_note_event(probe, name);
}

/** Print an event that has at most a result and a message: reset, channel_lost, disconnect. */
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

void probe_fail_handshake(struct probe *probe, int32_t result, const char *message)
{
    probe->lost = true;
    probe->loss_expected = false;
    probe->handshake_failed = true;
    probe_set_status(probe, STATUS_LOST);
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

void probe_lose(struct probe *probe, const char *message)
{
    probe->lost = true;
    probe_note_event(probe, "disconnect");
    driver_lost(probe, message);
    if (probe->busy != NULL && probe->busy->begin != NULL && strcmp(probe->busy->name, "reset") == 0) {
        probe_finish(probe, g_strdup(message));
    }
    if (probe->options->until_disconnect) {
        g_main_loop_quit(probe->loop);
    }
}

static void on_disconnect(struct probe *probe, const vhushmem_event *event)
{
    if (!probe->was_ready) {
        probe_fail_handshake(probe, event->result, event->message != NULL ? event->message : "the back-end went away");
        return;
    }
    say(probe, "disconnect", event);
    probe_lose(probe, "the back-end went away before the command was complete");
}

static void on_reset(struct probe *probe, const vhushmem_event *event)
{
    probe->counters.resets++;
    say(probe, "reset", event);
    driver_was_reset(probe);
    probe_note_event(probe, "reset");
    if (probe->busy != NULL && strcmp(probe->busy->name, "reset") == 0) {
        probe_finish(probe, NULL);
    }
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
    case VHUSHMEM_EVENT_UNMAP:
        probe_tell_mapping(probe, event);
        break;
    case VHUSHMEM_EVENT_OTHER_REQUEST:
        count_request(probe, event);
        on_other_request(probe, event);
        probe_note_event(probe, "other_request");
        break;
    case VHUSHMEM_EVENT_CONFIG_CHANGE:
        say(probe, "config_change", event);
        probe_note_event(probe, "config_change");
        break;
    case VHUSHMEM_EVENT_BROKEN:
        on_broken(probe, "broken", event);
        break;
    case VHUSHMEM_EVENT_HEALED:
        on_broken(probe, "healed", event);
        break;
    case VHUSHMEM_EVENT_RESET:
        on_reset(probe, event);
        break;
    case VHUSHMEM_EVENT_CHANNEL_LOST:
        probe->channel_lost = true;
        say(probe, "channel_lost", event);
        probe_note_event(probe, "channel_lost");
        break;
    case VHUSHMEM_EVENT_DISCONNECT:
        on_disconnect(probe, event);
        break;
    default:
        break; /* an event of a newer library: this program prints nothing */
    }
}

/* ---- the program ---- */

void probe_start(struct probe *probe)
{
    GError *error = NULL;
    int rc = vhushmem_frontend_start(probe->frontend, &error);

    if (rc < 0 && probe->status == 0) {
        probe_fail_handshake(probe, rc, error->message);
    }
    g_clear_error(&error);
}

/** Start with a relay in between, which shows or records the messages. */
static void start_with_relay(struct probe *probe, const struct probe_options *options)
{
    traffic_begin(probe, options, false);
    int rc = relay_begin_dump(probe, options->socket, options->server, probe->front);

    if (rc < 0) {
        char *sentence = g_strdup_printf("%s: %s (errno %d)", options->socket, g_strerror(-rc), -rc);

        probe_fail_handshake(probe, rc, sentence);
        g_free(sentence);
    }
}

void probe_connect_run(struct probe *probe, const struct probe_options *options)
{
    GSource *source;

    vhushmem_guard_install(NULL); /* `touch` reads the window like a thread of a VMM */
    vhushmem_frontend_set_callback(probe->frontend, on_event, probe, NULL);
    source = vhushmem_frontend_source_new(probe->frontend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    probe_input_begin(probe);
    if (probe->front < 0) {
        probe_view_begin(probe);
        probe_start(probe);
    } else {
        start_with_relay(probe, options);
    }
    /* g_main_loop_quit has no effect before the loop runs. */
    if (probe->status == 0) {
        g_main_loop_run(probe->loop);
    }
    probe_view_end(probe);
    probe_input_free(probe);
}
