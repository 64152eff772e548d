/* SPDX-License-Identifier: BSD-3-Clause */

/** The commands that play a driver. */

#include "probe-driver.h"

#include <inttypes.h>
#include <string.h>

#include "probe-wire.h"

/* ---- memory, features, start, stop ---- */

static char *run_memory(struct probe *probe, char **words, struct record *answer)
{
    uint64_t size;
    char *error;

    if (!probe_parse_size(words[1], DRIVER_MAX_RAM, &size)) {
        return g_strdup("SIZE is no size, such as 64M");
    }
    error = driver_set_memory(probe, size);
    if (error == NULL) {
        record_size(answer, "size", size);
        record_hex(answer, "guest_addr", DRIVER_RAM_ADDR);
    }
    return error;
}

/** Find a bit by its name or number. @returns -1: the word is neither. */
static int find_feature(const struct probe *probe, const char *word)
{
    uint64_t bit;

    if (probe_parse_number(word, 63, &bit)) {
        return (int)bit;
    }
    for (unsigned i = 0; i < 64; i++) {
        const char *name = virtio_feature_name(probe->device_id, i);

        if (name != NULL && g_ascii_strcasecmp(name, word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static char *run_features(struct probe *probe, char **words, struct record *answer)
{
    uint64_t offered = vhushmem_frontend_features(probe->frontend), wanted = 0;

    for (char **word = words + 1; *word != NULL; word++) {
        int bit = find_feature(probe, *word);

        if (bit < 0) {
            return g_strdup_printf("%s is no feature: give its name or its bit (--device NAME adds a device's own names)",
                                   *word);
        }
        wanted |= UINT64_C(1) << bit;
    }
    if ((wanted & ~offered) != 0) {
        return g_strdup_printf("the device does not offer 0x%" PRIx64, wanted & ~offered);
    }
    if (words[1] != NULL) {
        driver_set_features(probe, wanted);
    }
    record_virtio_features(answer, "offered", probe->device_id, offered);
    record_virtio_features(answer, "accepted", probe->device_id, driver_features(probe));
    return NULL;
}

unsigned driver_max_queues(const struct probe *probe)
{
    uint64_t count = probe->device_id == VIRTIO_ID_FS ? 2 : 1;

    if (probe->options->queues != NULL) {
        probe_parse_number(probe->options->queues, 256, &count);
    }
    return (unsigned)count;
}

static void on_started(struct probe *probe, const char *error) { probe_finish(probe, g_strdup(error)); }

static char *begin_start(struct probe *probe, char **words)
{
    uint64_t count = driver_max_queues(probe), size = DRIVER_QUEUE_SIZE;

    if (words[1] != NULL && (!probe_parse_number(words[1], count, &count) || count == 0)) {
        return g_strdup("QUEUES is a number from 1 to that of the option --queues (1 if it is not given)");
    }
    if (words[1] != NULL && words[2] != NULL &&
        (!probe_parse_number(words[2], 32768, &size) || size < 2 || (size & (size - 1)) != 0)) {
        return g_strdup("SIZE is a power of two from 2 to 32768");
    }
    return driver_start(probe, (unsigned)count, (unsigned)size, on_started);
}

static void on_stopped(struct probe *probe, const uint16_t *bases, unsigned count, const char *error)
{
    struct record answer;

    if (probe->busy == NULL || error != NULL) {
        probe_finish(probe, g_strdup(error));
        return;
    }
    probe_answer_begin(probe, &answer);
    record_list_begin(&answer, "bases");
    for (unsigned i = 0; i < count; i++) {
        char *text = g_strdup_printf("%u", bases[i]);

        record_list_text(&answer, text);
        g_free(text);
    }
    record_list_end(&answer);
    probe_answer_end(probe, &answer);
}

static char *begin_stop(struct probe *probe, char **words)
{
    (void)words;
    return driver_stop(probe, on_stopped);
}

/* ---- configuration, status, requests in flight ---- */

static uint64_t config_offset; /* of the read that is waiting for its answer */

static void on_config(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    struct probe *probe = user_data;
    struct record answer;

    (void)frontend;
    if (probe->busy == NULL || reply->result < 0 || reply->payload_size == 0) {
        probe_finish(probe, reply->result < 0 ? g_strdup(reply->message) : NULL);
        return;
    }
    probe_keep_bytes(probe, reply->payload, reply->payload_size);
    probe_answer_begin(probe, &answer);
    if (answer.json) {
        record_bytes(&answer, "hex", reply->payload, reply->payload_size);
    } else {
        record_dump(&answer, config_offset, reply->payload, reply->payload_size);
    }
    probe_answer_end(probe, &answer);
}

static char *begin_config(struct probe *probe, char **words)
{
    uint64_t offset, len;
    GError *error = NULL;
    int rc;

    if (!probe_parse_size(words[2], UINT32_MAX, &offset)) {
        return g_strdup("OFFSET is no number");
    }
    if (strcmp(words[1], "read") == 0) {
        if (!probe_parse_size(words[3], 4096, &len)) {
            return g_strdup("LEN is no number up to 4096");
        }
        config_offset = offset;
        rc = vhushmem_frontend_get_config_async(probe->frontend, (uint32_t)offset, (uint32_t)len, on_config, probe, NULL,
                                                &error);
    } else if (strcmp(words[1], "write") == 0) {
        uint8_t *bytes = probe_parse_hex(words[3], &len);

        if (bytes == NULL || len > 4096) {
            g_free(bytes);
            return g_strdup("HEX is not two hex digits a byte, 1 to 4096 bytes");
        }
        rc = vhushmem_frontend_set_config_async(probe->frontend, (uint32_t)offset, bytes, (uint32_t)len, 0, on_config, probe,
                                                NULL, &error);
        g_free(bytes);
    } else {
        return g_strdup("the usage is: config read OFFSET LEN, or config write OFFSET HEX");
    }
    return probe_outcome(rc, &error);
}

static void on_status(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    static const char *const names[8] = {"ACKNOWLEDGE", "DRIVER", "DRIVER_OK",          "FEATURES_OK",
                                         NULL,          NULL,     "DEVICE_NEEDS_RESET", "FAILED"};
    struct probe *probe = user_data;
    struct record answer;

    (void)frontend;
    if (probe->busy == NULL || reply->result < 0) {
        probe_finish(probe, g_strdup(reply->message));
        return;
    }
    probe_answer_begin(probe, &answer);
    record_hex(&answer, "value", reply->value);
    record_list_begin(&answer, "bits");
    for (unsigned bit = 0; bit < 8; bit++) {
        if ((reply->value >> bit & 1) != 0) {
            record_list_text(&answer, names[bit] != NULL ? names[bit] : "?");
        }
    }
    record_list_end(&answer);
    probe_answer_end(probe, &answer);
}

static void on_done(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    probe_finish(user_data, reply->result < 0 ? g_strdup(reply->message) : NULL);
}

static char *begin_device_status(struct probe *probe, char **words)
{
    uint64_t value;
    GError *error = NULL;
    int rc;

    if (words[1] == NULL) {
        rc = vhushmem_frontend_get_device_status_async(probe->frontend, on_status, probe, NULL, &error);
    } else if (probe_parse_number(words[1], 255, &value)) {
        rc = vhushmem_frontend_set_device_status_async(probe->frontend, (uint8_t)value, on_done, probe, NULL, &error);
    } else {
        return g_strdup("VALUE is no number from 0 to 255");
    }
    return probe_outcome(rc, &error);
}

static void on_inflight(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    struct probe *probe = user_data;
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    struct record answer;

    (void)frontend;
    if (probe->busy == NULL || reply->result < 0 || reply->payload_size != sizeof(area)) {
        probe_finish(probe, g_strdup(reply->result < 0 ? reply->message : "the answer has no area"));
        return;
    }
    memcpy(&area, reply->payload, sizeof(area));
    probe_answer_begin(probe, &answer);
    record_size(&answer, "size", area.size);
    record_hex(&answer, "offset", area.offset);
    record_number(&answer, "num_queues", area.num_queues);
    record_number(&answer, "queue_size", area.queue_size);
    probe_answer_end(probe, &answer);
}

static char *begin_inflight(struct probe *probe, char **words)
{
    GError *error = NULL;

    (void)words;
    return probe_outcome(vhushmem_frontend_get_inflight_async(probe->frontend, (uint16_t)driver_max_queues(probe),
                                                              DRIVER_QUEUE_SIZE, on_inflight, probe, NULL, &error),
                         &error);
}

const struct command driver_commands[] = {
    {"memory", "memory SIZE", "give the guest this much memory (16M by default)", 2, 2, MODE_CONNECT, NEEDS_PEER, run_memory,
     NULL},
    {"features", "features [NAME|BIT]...", "accept these virtio features, or show them", 1, PROBE_MAX_WORDS, MODE_CONNECT,
     NEEDS_PEER, run_features, NULL},
    {"start", "start [QUEUES [SIZE]]", "start the device's queues", 1, 3, MODE_CONNECT, NEEDS_PEER, NULL, begin_start},
    {"push", "push QUEUE [out HEX|@FILE]... [in LEN]... [--later]", "make a request, and show the answer", 3, PROBE_MAX_WORDS,
     MODE_CONNECT, NEEDS_PEER, NULL, driver_begin_push},
    {"kick", "kick QUEUE", "tell the device of requests that were pushed --later", 2, 2, MODE_CONNECT, NEEDS_PEER,
     driver_run_kick, NULL},
    {"stop", "stop", "stop the device's queues", 1, 1, MODE_CONNECT, NEEDS_PEER, NULL, begin_stop},
    {"config", "config read OFFSET LEN|write OFFSET HEX", "the configuration space", 4, 4, MODE_CONNECT, NEEDS_PEER, NULL,
     begin_config},
    {"device-status", "device-status [VALUE]", "read or set the virtio device status", 1, 2, MODE_CONNECT, NEEDS_PEER, NULL,
     begin_device_status},
    {"inflight", "inflight", "let the device track requests in flight", 1, 1, MODE_CONNECT, NEEDS_PEER, NULL, begin_inflight},
    {0},
};
