/* SPDX-License-Identifier: BSD-3-Clause */

/** Commands for scripts: to wait, and to expect results. */

#include "probe.h"

#include <inttypes.h>
#include <string.h>

#define DEFAULT_SECONDS 30.0
/* The most bytes that `expect hex` compares and shows. */
#define MAX_SHOWN 64

/* ---- waiting ---- */

static void stop_waiting(struct probe *probe)
{
    struct probe_wait *wait = &probe->wait;

    if (wait->timer != 0) {
        g_source_remove(wait->timer);
    }
    g_free(wait->event);
    *wait = (struct probe_wait){0};
}

static gboolean on_time(gpointer user_data)
{
    struct probe *probe = user_data;
    bool asked = probe->wait.kind == WAIT_TIME;

    probe->wait.timer = 0;
    stop_waiting(probe);
    if (!asked) {
        probe_set_status(probe, STATUS_UNEXPECTED);
    }
    probe_finish(probe, asked ? NULL : g_strdup("it did not happen in this time"));
    return G_SOURCE_REMOVE;
}

/** Take an event with this name that no earlier `wait event` has taken. */
static bool take_event(struct probe *probe, const char *name)
{
    gpointer count = probe->events != NULL ? g_hash_table_lookup(probe->events, name) : NULL;

    if (count == NULL) {
        return false;
    }
    g_hash_table_insert(probe->events, g_strdup(name), GUINT_TO_POINTER(GPOINTER_TO_UINT(count) - 1));
    return true;
}

static bool has_happened(struct probe *probe)
{
    struct probe_wait *wait = &probe->wait;

    switch (wait->kind) {
    case WAIT_READY:
        return probe->was_ready;
    case WAIT_MAPS:
        return probe->counters.maps >= wait->count;
    case WAIT_UNMAPS:
        return probe->counters.unmaps >= wait->count;
    case WAIT_EVENT:
        return take_event(probe, wait->event);
    default:
        return false;
    }
}

static void look(struct probe *probe)
{
    bool is_waiting = probe->wait.kind != WAIT_NOTHING && probe->wait.kind != WAIT_TIME;

    if (is_waiting && has_happened(probe)) {
        stop_waiting(probe);
        probe_finish(probe, NULL);
    } else if (is_waiting && probe->lost) {
        stop_waiting(probe);
        probe_set_status(probe, STATUS_LOST);
        probe_finish(probe, g_strdup("the connection is over, so it will not happen any more"));
    } else if (is_waiting && probe->no_shmem && (probe->wait.kind == WAIT_MAPS || probe->wait.kind == WAIT_UNMAPS)) {
        stop_waiting(probe);
        probe_set_status(probe, STATUS_NO_SHMEM);
        probe_finish(probe, g_strdup("the device has no shared memory regions"));
    }
}

void probe_note_event(struct probe *probe, const char *name)
{
    if (probe->events == NULL) {
        probe->events = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(probe->events, name));

    g_hash_table_insert(probe->events, g_strdup(name), GUINT_TO_POINTER(count + 1));
    look(probe);
}

void probe_script_free(struct probe *probe)
{
    stop_waiting(probe);
    g_clear_pointer(&probe->events, g_hash_table_unref);
    g_clear_pointer(&probe->last_error, g_free);
    if (probe->last_bytes != NULL) {
        g_byte_array_unref(probe->last_bytes);
    }
}

static char *begin_wait(struct probe *probe, char **words)
{
    struct probe_wait wait = {0};
    double seconds = DEFAULT_SECONDS;
    char **next = words + 2;

    if (strcmp(words[1], "ready") == 0) {
        wait.kind = WAIT_READY;
    } else if (strcmp(words[1], "map") == 0 || strcmp(words[1], "unmap") == 0) {
        wait.kind = words[1][0] == 'm' ? WAIT_MAPS : WAIT_UNMAPS;
        if (*next == NULL || !probe_parse_number(*next++, UINT64_MAX, &wait.count)) {
            return g_strdup("say how many you expect since the beginning: wait map N [SECONDS]");
        }
    } else if (strcmp(words[1], "event") == 0 && words[2] != NULL) {
        wait.kind = WAIT_EVENT;
        next++;
    } else {
        return g_strdup("the usage is: wait ready|map N|unmap N|event NAME [SECONDS]");
    }
    if (*next != NULL && !probe_parse_seconds(*next++, &seconds)) {
        return g_strdup("SECONDS is no number");
    }
    if (*next != NULL) {
        return g_strdup("there are too many words: wait ready|map N|unmap N|event NAME [SECONDS]");
    }
    wait.event = wait.kind == WAIT_EVENT ? g_strdup(words[2]) : NULL;
    probe->loss_expected = probe->loss_expected || g_strcmp0(wait.event, "disconnect") == 0;
    wait.timer = g_timeout_add((guint)(seconds * 1000), on_time, probe);
    probe->wait = wait;
    look(probe);
    return NULL;
}

static char *begin_sleep(struct probe *probe, char **words)
{
    double seconds;

    if (!probe_parse_seconds(words[1], &seconds)) {
        return g_strdup("SECONDS is no number");
    }
    probe->wait = (struct probe_wait){.kind = WAIT_TIME, .timer = g_timeout_add((guint)(seconds * 1000), on_time, probe)};
    return NULL;
}

/* ---- expecting ---- */

static bool find_value(struct probe *probe, const char *name, uint64_t *value)
{
    const struct probe_counters *counters = &probe->counters;
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {"maps", counters->maps},
        {"unmaps", counters->unmaps},
        {"refused", counters->refused},
        {"resets", counters->resets},
        {"total_mapped_bytes", counters->total_mapped_bytes},
        {"mapped_bytes", probe->device != NULL ? vhushmem_device_mapped_bytes(probe->device) : 0},
        {"mappings", probe->device != NULL ? vhushmem_device_mapping_count(probe->device) : 0},
        {"regions", probe->device != NULL ? (uint64_t)MAX(vhushmem_device_region_ids(probe->device, NULL, 0), 0) : 0},
        {"ready", probe->was_ready && !probe->lost},
        {"channel", probe->was_ready && !probe->lost && !probe->channel_lost},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        if (strcmp(values[i].name, name) == 0) {
            *value = values[i].value;
            return true;
        }
    }
    return false;
}

static bool compare(uint64_t seen, const char *sign, uint64_t wanted, bool *known)
{
    *known = true;
    if (strcmp(sign, "=") == 0) {
        return seen == wanted;
    } else if (strcmp(sign, "!=") == 0) {
        return seen != wanted;
    } else if (strcmp(sign, ">") == 0) {
        return seen > wanted;
    } else if (strcmp(sign, ">=") == 0) {
        return seen >= wanted;
    } else if (strcmp(sign, "<") == 0) {
        return seen < wanted;
    } else if (strcmp(sign, "<=") == 0) {
        return seen <= wanted;
    }
    *known = false;
    return false;
}

/** VALUE SIGN NUMBER. */
static char *expect_value(struct probe *probe, char **words)
{
    uint64_t seen, wanted;
    bool known, is_so;

    if (!find_value(probe, words[1], &seen)) {
        return g_strdup("there is no such value; see `vhushmem-probe help scripts`");
    }
    if (words[2] == NULL || words[3] == NULL || words[4] != NULL || !probe_parse_size(words[3], UINT64_MAX, &wanted)) {
        return g_strdup("the usage is: expect VALUE =|!=|<|<=|>|>= NUMBER");
    }
    is_so = compare(seen, words[2], wanted, &known);
    if (!known) {
        return g_strdup_printf("%s is none of = != < <= > >=", words[2]);
    }
    return is_so ? NULL : g_strdup_printf("%s is %" PRIu64 ", not %s %" PRIu64, words[1], seen, words[2], wanted);
}

/** Check that the bytes of the last command begin with these. */
static char *expect_hex(struct probe *probe, const char *hex)
{
    uint64_t len = 0;
    uint8_t *bytes = hex != NULL ? probe_parse_hex(hex, &len) : NULL;
    const GByteArray *last = probe->last_bytes;
    char *error = NULL;

    if (bytes == NULL) {
        error = g_strdup("HEX is not two hex digits a byte");
    } else if (last == NULL || last->len < len || memcmp(last->data, bytes, len) != 0) {
        GString *seen = g_string_new("the last command's bytes are ");

        for (guint i = 0; last != NULL && i < MIN(last->len, MAX_SHOWN); i++) {
            g_string_append_printf(seen, "%02x", last->data[i]);
        }
        error = g_string_free(seen, FALSE);
    }
    g_free(bytes);
    return error;
}

static char *expect(struct probe *probe, char **words, bool failed, const char *last_error)
{
    char *text, *sentence = NULL;

    if (strcmp(words[1], "ok") == 0) {
        return failed ? g_strdup_printf("the last command failed: %s", last_error) : NULL;
    }
    if (strcmp(words[1], "hex") == 0) {
        return expect_hex(probe, words[2]);
    }
    if (strcmp(words[1], "error") != 0) {
        return expect_value(probe, words);
    }
    text = g_strjoinv(" ", words + 2);
    if (!failed) {
        sentence = g_strdup("the last command was done");
    } else if (strstr(last_error, text) == NULL) {
        sentence = g_strdup_printf("the last command has another error: %s", last_error);
    }
    g_free(text);
    return sentence;
}

static char *run_expect(struct probe *probe, char **words, struct record *answer)
{
    char *error = expect(probe, words, probe->last_failed, probe->last_error);

    record_bool(answer, "as_expected", error == NULL);
    if (error != NULL) {
        probe_set_status(probe, STATUS_UNEXPECTED);
    }
    return error;
}

#define ALL_MODES (MODE_CONNECT | MODE_PROXY | MODE_BACKEND)

const struct command script_commands[] = {
    {"wait", "wait ready|map N|unmap N|event NAME [SECONDS]", "go on when it has happened", 2, 5, ALL_MODES, NEEDS_NOTHING,
     NULL, begin_wait},
    {"sleep", "sleep SECONDS", "go on after this time", 2, 2, ALL_MODES, NEEDS_NOTHING, NULL, begin_sleep},
    {"expect", "expect VALUE SIGN NUMBER|hex HEX|ok|error TEXT", "end with status 1 if this is not true", 2, PROBE_MAX_WORDS,
     ALL_MODES, NEEDS_READY, run_expect, NULL},
    {0},
};
