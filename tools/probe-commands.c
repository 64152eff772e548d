/* SPDX-License-Identifier: BSD-3-Clause */

/** The commands of standard input: their tables, their lines, their answers. */

#include "probe.h"

#include <string.h>

static char *run_quit(struct probe *probe, char **words, struct record *answer)
{
    (void)words;
    (void)answer;
    probe->quitting = true;
    return NULL;
}

static char *run_help(struct probe *probe, char **words, struct record *answer);

#define ALL_MODES (MODE_CONNECT | MODE_PROXY | MODE_BACKEND)

static const struct command own_commands[] = {
    {"help", "help [COMMAND]", "describe the commands", 1, 2, ALL_MODES, NEEDS_NOTHING, run_help, NULL},
    {"quit", "quit", "end", 1, 1, ALL_MODES, NEEDS_NOTHING, run_quit, NULL},
    {0},
};

static const struct command *const tables[] = {memory_commands, driver_commands, dialogue_commands, backend_commands,
                                               filter_commands, script_commands, own_commands};

const struct command *probe_next_command(enum probe_mode mode, unsigned *at)
{
    /* `at` counts through all tables. */
    unsigned index = 0;

    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const struct command *c = tables[t]; c->name != NULL; c++, index++) {
            if (index >= *at && (c->modes & mode) != 0) {
                *at = index + 1;
                return c;
            }
        }
    }
    return NULL;
}

static const struct command *find_command(enum probe_mode mode, const char *name)
{
    unsigned at = 0;

    for (const struct command *c; (c = probe_next_command(mode, &at)) != NULL;) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

static char *run_help(struct probe *probe, char **words, struct record *answer)
{
    unsigned at = 0;
    bool found = false;

    record_list_begin(answer, "commands");
    for (const struct command *c; (c = probe_next_command(probe->mode, &at)) != NULL;) {
        if (words[1] != NULL && strcmp(words[1], c->name) != 0) {
            continue;
        }
        found = true;
        record_object_begin(answer, NULL);
        if (answer->json) {
            record_text(answer, "usage", c->usage);
            record_text(answer, "purpose", c->purpose);
        } else {
            g_string_append_printf(answer->line, "%-40s %s", c->usage, c->purpose);
        }
        record_object_end(answer);
    }
    record_list_end(answer);
    return found ? NULL : g_strdup_printf("there is no command of this name");
}

/* ---- answers ---- */

void probe_set_status(struct probe *probe, int status)
{
    if (probe->status == STATUS_DONE) {
        probe->status = status;
    }
}

void probe_keep_bytes(struct probe *probe, const void *bytes, size_t len)
{
    if (probe->last_bytes == NULL) {
        probe->last_bytes = g_byte_array_new();
    }
    g_byte_array_set_size(probe->last_bytes, 0);
    g_byte_array_append(probe->last_bytes, bytes, (guint)len);
}

static void note_error(struct probe *probe, const char *sentence)
{
    probe->last_failed = sentence != NULL;
    g_free(probe->last_error);
    probe->last_error = g_strdup(sentence);
}

void probe_answer_error(struct probe *probe, const char *command, const char *sentence)
{
    struct record answer;

    note_error(probe, sentence);
    record_begin(&answer, probe->json, "answer");
    if (command != NULL) {
        record_text(&answer, "command", command);
    }
    record_text(&answer, "error", sentence);
    record_end(&answer);
}

void probe_answer_begin(struct probe *probe, struct record *answer)
{
    record_begin(answer, probe->json, "answer");
    record_text(answer, "command", probe->busy->name);
}

void probe_answer_end(struct probe *probe, struct record *answer)
{
    record_end(answer);
    probe->busy = NULL;
    if (!probe->in_command) {
        probe_input_resume(probe);
    }
}

void probe_finish(struct probe *probe, char *error)
{
    struct record answer;

    if (probe->busy == NULL) {
        g_free(error);
        return;
    }
    note_error(probe, error);
    probe_answer_begin(probe, &answer);
    if (error != NULL) {
        record_text(&answer, "error", error);
    }
    probe_answer_end(probe, &answer);
    g_free(error);
}

char *probe_outcome(int rc, GError **error)
{
    char *sentence = rc < 0 ? g_strdup((*error)->message) : NULL;

    g_clear_error(error);
    return sentence;
}

/* ---- lines ---- */

static void begin_command(struct probe *probe, const struct command *command, char **words)
{
    char *error;

    probe->busy = command;
    probe->in_command = true;
    note_error(probe, NULL);
    error = command->begin(probe, words);
    if (error != NULL) {
        probe_finish(probe, error);
    }
    probe->in_command = false;
}

bool probe_has_peer(const struct probe *probe)
{
    return probe->frontend != NULL ? vhushmem_frontend_is_ready(probe->frontend) : probe->was_ready && !probe->lost;
}

static void run_words(struct probe *probe, char **words, unsigned count)
{
    const struct command *command = find_command(probe->mode, words[0]);
    struct record answer;
    char *error;

    if (command == NULL) {
        probe_answer_error(probe, NULL, "there is no such command; `help` lists the commands");
        return;
    }
    if (count < command->min_words || count > command->max_words) {
        char *sentence = g_strdup_printf("the usage is: %s", command->usage);

        probe_answer_error(probe, command->name, sentence);
        g_free(sentence);
        return;
    }
    if (command->needs != NEEDS_NOTHING && !probe->was_ready) {
        probe_answer_error(probe, command->name, "the handshake is not done");
        return;
    }
    if (command->needs == NEEDS_PEER && !probe_has_peer(probe)) {
        probe_answer_error(probe, command->name, "the other side is gone");
        return;
    }
    if (command->begin != NULL) {
        begin_command(probe, command, words);
        return;
    }
    record_begin(&answer, probe->json, "answer");
    record_text(&answer, "command", command->name);
    error = command->run(probe, words, &answer);
    if (strcmp(command->name, "expect") != 0) { /* expect looks at the command before it, and so may the command after expect */
        note_error(probe, error);
    }
    if (error != NULL) {
        record_text(&answer, "error", error);
        g_free(error);
    }
    record_end(&answer);
}

/** @returns the number of words, at most one more than PROBE_MAX_WORDS; `text` (g_free) holds them. */
static unsigned split(const char *line, size_t len, char **text, char *words[PROBE_MAX_WORDS + 2])
{
    unsigned count = 0;
    char *rest;

    *text = rest = g_strndup(line, len);
    while (count <= PROBE_MAX_WORDS && (words[count] = strtok_r(rest, " \t\r", &rest)) != NULL) {
        count++;
    }
    words[count] = NULL;
    return words[0] != NULL && words[0][0] == '#' ? 0 : count;
}

bool probe_must_wait(struct probe *probe, const char *line, size_t len)
{
    char *words[PROBE_MAX_WORDS + 2] = {NULL}, *text;
    const struct command *command;
    bool waits;

    /* A person gets an answer at once. After the handshake has failed there is nothing to wait for. */
    if (probe->was_ready || probe->lost || probe->status != STATUS_DONE || probe->input.is_person || len > PROBE_MAX_LINE) {
        return false;
    }
    unsigned count = split(line, len, &text, words);
    command = count > 0 ? find_command(probe->mode, words[0]) : NULL;
    waits = command != NULL && command->needs != NEEDS_NOTHING && count >= command->min_words && count <= command->max_words;
    g_free(text);
    return waits;
}

void probe_run_command(struct probe *probe, const char *line, size_t len)
{
    char *words[PROBE_MAX_WORDS + 2] = {NULL}, *text;
    unsigned count;

    if (memchr(line, '\0', len) != NULL) {
        probe_answer_error(probe, NULL, "there is a zero byte in the line");
        return;
    }
    count = split(line, len, &text, words);
    if (count > 0) {
        run_words(probe, words, count);
    }
    g_free(text);
}
