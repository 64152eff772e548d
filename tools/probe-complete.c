/* SPDX-License-Identifier: BSD-3-Clause */

/** Completion of what a person types: commands, their words, region ids, names of requests and features, files. */

#include "probe.h"

#include <string.h>

#include "probe-wire.h"

enum source { WORDS, COMMANDS, REGIONS, FEATURES, REQUESTS, FILES };

/* Words `from` to `to` of a command; its name is word 0. `after`: only after this word. */
static const struct rule {
    const char *command;
    unsigned from, to;
    const char *after;
    enum source source;
    const char *words;
} rules[] = {
    {"read", 1, 1, NULL, REGIONS, NULL},
    {"read", 4, 4, NULL, WORDS, "--raw"},
    {"touch", 1, 1, NULL, REGIONS, NULL},
    {"touch", 4, 4, NULL, WORDS, "--raw"},
    {"write", 1, 1, NULL, REGIONS, NULL},
    {"map", 1, 1, NULL, REGIONS, NULL},
    {"map", 4, 4, NULL, FILES, "memfd"},
    {"map", 5, 6, NULL, WORDS, "rw"},
    {"unmap", 1, 1, NULL, REGIONS, NULL},
    {"features", 1, PROBE_MAX_WORDS, NULL, FEATURES, NULL},
    {"push", 3, PROBE_MAX_WORDS, "out", FILES, NULL},
    {"push", 3, PROBE_MAX_WORDS, "in", WORDS, ""},
    {"push", 2, PROBE_MAX_WORDS, NULL, WORDS, "out in --later"},
    {"config", 1, 1, NULL, WORDS, "read write"},
    {"wait", 1, 1, NULL, WORDS, "ready map unmap event"},
    {"wait", 2, 2, "event", WORDS,
     "ready connected disconnect map unmap reset other_request config_change channel_lost broken healed used queue_broken "
     "request "
     "queue_started queue_stopped config_written device_status error"},
    {"expect", 1, 1, NULL, WORDS,
     "maps unmaps refused resets mappings mapped_bytes total_mapped_bytes regions ready channel hex ok error"},
    {"help", 1, 1, NULL, COMMANDS, NULL},
    {"only", 1, PROBE_MAX_WORDS, NULL, REQUESTS, "main channel"},
    {"except", 1, PROBE_MAX_WORDS, NULL, REQUESTS, "main channel"},
};

static struct {
    GMutex lock; /* the editor calls from another thread */
    uint8_t ids[VHUSHMEM_MAX_REGIONS];
    int count;
} regions;

void complete_note_region(uint8_t shmid)
{
    g_mutex_lock(&regions.lock);
    if (regions.count < VHUSHMEM_MAX_REGIONS) {
        regions.ids[regions.count++] = shmid;
    }
    g_mutex_unlock(&regions.lock);
}

void complete_note_regions(vhushmem_device *device)
{
    g_mutex_lock(&regions.lock);
    regions.count = MAX(vhushmem_device_region_ids(device, regions.ids, G_N_ELEMENTS(regions.ids)), 0);
    g_mutex_unlock(&regions.lock);
}

static void offer(GPtrArray *found, const char *begun, char *word)
{
    if (g_str_has_prefix(word, begun)) {
        g_ptr_array_add(found, word);
    } else {
        g_free(word);
    }
}

static void offer_words(GPtrArray *found, const char *begun, const char *words)
{
    char **all = g_strsplit(words != NULL ? words : "", " ", -1);

    for (char **word = all; *word != NULL; word++) {
        if (**word != '\0') {
            offer(found, begun, g_strdup(*word));
        }
    }
    g_strfreev(all);
}

/**
 * Offer files whose path begins with `begun`; folders end with a slash. It leaves out a path that a command could not take as
 * one word.
 */
static void offer_files(GPtrArray *found, const char *begun)
{
    const char *slash = strrchr(begun, '/');
    char *folder = slash != NULL ? g_strndup(begun, (gsize)(slash - begun + 1)) : g_strdup("");
    const char *name = begun + strlen(folder), *entry;
    GDir *dir = g_dir_open(folder[0] != '\0' ? folder : ".", 0, NULL);

    while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL) {
        char *path = g_strconcat(folder, entry, NULL);

        if ((entry[0] == '.' && name[0] != '.') || strpbrk(entry, " \t\r\n") != NULL) {
            g_free(path);
            continue;
        }
        if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
            char *with_slash = g_strconcat(path, "/", NULL);

            g_free(path);
            path = with_slash;
        }
        offer(found, begun, path);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_free(folder);
}

static void offer_requests(GPtrArray *found, const char *begun)
{
    char *upper = g_ascii_strup(begun, -1);
    bool on_channel = false;
    uint32_t id = 0;

    for (const char *name; (name = next_request_name(&on_channel, &id)) != NULL;) {
        offer(found, upper, g_strdup(name));
    }
    g_free(upper);
}

static void offer_source(struct probe *probe, GPtrArray *found, const char *begun, enum source source)
{
    unsigned at = 0;

    switch (source) {
    case WORDS:
        break;
    case COMMANDS:
        for (const struct command *c; (c = probe_next_command(probe->mode, &at)) != NULL;) {
            offer(found, begun, g_strdup(c->name));
        }
        break;
    case REGIONS:
        g_mutex_lock(&regions.lock);
        for (int i = 0; i < regions.count; i++) {
            offer(found, begun, g_strdup_printf("%d", regions.ids[i]));
        }
        g_mutex_unlock(&regions.lock);
        break;
    case FEATURES:
        for (; at < 64; at++) {
            const char *name = virtio_feature_name(probe->device_id, at);

            if (name != NULL) {
                offer(found, begun, g_strdup(name));
            }
        }
        break;
    case REQUESTS:
        offer_requests(found, begun);
        break;
    case FILES:
        offer_files(found, begun);
        break;
    }
}

static gint compare(gconstpointer a, gconstpointer b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/** Sort the words and remove duplicates. */
static void sort(GPtrArray *found)
{
    g_ptr_array_sort(found, compare);
    for (guint i = 1; i < found->len;) {
        if (strcmp(found->pdata[i - 1], found->pdata[i]) == 0) {
            g_ptr_array_remove_index(found, i);
        } else {
            i++;
        }
    }
}

GPtrArray *complete_line(struct probe *probe, const char *line, size_t len, size_t *begun_len)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    char *text = g_strndup(line, len), *rest = text, *words[PROBE_MAX_WORDS + 1], *word;
    unsigned count = 0;
    const char *begun = strrchr(text, ' ') != NULL ? strrchr(text, ' ') + 1 : text;

    *begun_len = strlen(begun);
    char *last = g_strdup(begun);

    while (count < PROBE_MAX_WORDS && (word = strtok_r(rest, " ", &rest)) != NULL) {
        words[count++] = word;
    }
    count -= *begun_len > 0 && count > 0 ? 1 : 0; /* the words before the one that is being typed */
    if (count == 0) {
        offer_source(probe, found, last, COMMANDS);
    }
    for (size_t i = 0; count > 0 && i < G_N_ELEMENTS(rules); i++) {
        const struct rule *rule = &rules[i];

        if (strcmp(rule->command, words[0]) != 0 || count < rule->from || count > rule->to ||
            (rule->after != NULL && strcmp(rule->after, words[count - 1]) != 0)) {
            continue;
        }
        /* Before the file of a push there is an @. */
        bool is_at = rule->source == FILES && strcmp(rule->command, "push") == 0;

        if (is_at && last[0] == '@') {
            *begun_len -= 1;
            offer_source(probe, found, last + 1, FILES);
        } else if (!is_at) {
            offer_words(found, last, rule->words);
            offer_source(probe, found, last, rule->source);
        }
        break;
    }
    sort(found);
    g_free(last);
    g_free(text);
    return found;
}
