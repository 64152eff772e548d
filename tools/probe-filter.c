/* SPDX-License-Identifier: BSD-3-Clause */

/** Selects messages to show: by names of requests, with * and ?, or by socket. */

#include "probe-wire.h"

#include <string.h>

/* All ids of requests are below this. */
#define MAX_REQUEST 128

static struct {
    char **only, **except; /* names in upper case; NULL: there is no such filter */
} filter;

const char *next_request_name(bool *on_channel, uint32_t *id)
{
    while (!*on_channel || *id < MAX_REQUEST) {
        if (*id == MAX_REQUEST) {
            *on_channel = true;
            *id = 0;
        }
        const char *name = vhushmem_request_name(*on_channel, (*id)++);

        if (name != NULL) {
            return name;
        }
    }
    return NULL;
}

/** Whether a pattern matches the name of any message. */
static bool is_known(const char *pattern)
{
    bool on_channel = false, found = strcmp(pattern, "MAIN") == 0 || strcmp(pattern, "CHANNEL") == 0 ||
                                     g_pattern_match_simple(pattern, "?"); /* requests without a name are shown so */
    uint32_t id = 0;

    for (const char *name; !found && (name = next_request_name(&on_channel, &id)) != NULL;) {
        found = g_pattern_match_simple(pattern, name);
    }
    return found;
}

/** Take the names of several words; commas may separate them. @returns a sentence (g_free), or NULL. */
static char *take_names(char **words, char ***names)
{
    GPtrArray *all = g_ptr_array_new();
    char *error = NULL;

    for (; words != NULL && *words != NULL; words++) {
        char **parts = g_strsplit(*words, ",", -1);

        for (char **part = parts; *part != NULL; part++) {
            char *name = g_ascii_strup(*part, -1);

            if (error == NULL && !is_known(name)) {
                error = g_strdup_printf("no request is called %s; see `vhushmem-probe help requests`", *part);
            }
            g_ptr_array_add(all, name);
        }
        g_strfreev(parts);
    }
    g_ptr_array_add(all, NULL);
    char **taken = (char **)g_ptr_array_free(all, FALSE);

    if (error != NULL || taken[0] == NULL) {
        g_clear_pointer(&taken, g_strfreev);
    }
    if (error == NULL) {
        g_strfreev(*names);
        *names = taken;
    }
    return error;
}

char *filter_begin(const struct probe_options *options)
{
    char *error = take_names(options->only, &filter.only);

    return error != NULL ? error : take_names(options->except, &filter.except);
}

void filter_end(void)
{
    g_clear_pointer(&filter.only, g_strfreev);
    g_clear_pointer(&filter.except, g_strfreev);
}

static bool is_among(char **patterns, const char *name, bool on_channel)
{
    for (; *patterns != NULL; patterns++) {
        if (g_pattern_match_simple(*patterns, name) || strcmp(*patterns, on_channel ? "CHANNEL" : "MAIN") == 0) {
            return true;
        }
    }
    return false;
}

bool filter_wants(const char *name, bool on_channel)
{
    return (filter.only == NULL || is_among(filter.only, name, on_channel)) &&
           (filter.except == NULL || !is_among(filter.except, name, on_channel));
}

/* ---- the commands ---- */

static void show_names(struct record *answer, const char *key, char **names)
{
    record_list_begin(answer, key);
    for (; names != NULL && *names != NULL; names++) {
        record_list_text(answer, *names);
    }
    record_list_end(answer);
}

static char *run_filter(struct probe *probe, char **words, struct record *answer)
{
    char *error = take_names(words + 1, strcmp(words[0], "only") == 0 ? &filter.only : &filter.except);

    (void)probe;
    show_names(answer, "only", filter.only);
    show_names(answer, "except", filter.except);
    return error;
}

const struct command filter_commands[] = {
    {"only", "only [NAME]...", "show only these requests, or (no name) all", 1, PROBE_MAX_WORDS, MODE_PROXY, NEEDS_NOTHING,
     run_filter, NULL},
    {"except", "except [NAME]...", "do not show these, or (no name) show all", 1, PROBE_MAX_WORDS, MODE_PROXY, NEEDS_NOTHING,
     run_filter, NULL},
    {0},
};
