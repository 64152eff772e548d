/* SPDX-License-Identifier: BSD-3-Clause */

#include "probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

static gboolean on_input(int fd, GIOCondition condition, gpointer user_data);

/**
 * Whether the next line must wait: a command runs, the handshake is not complete, or the program ends because the handshake
 * failed.
 */
static bool must_wait(struct probe *probe, const char *line, size_t len)
{
    bool ends = probe->status == STATUS_LOST && !probe->was_ready;

    return ends || probe->busy != NULL || probe->quitting || (!probe->input.skipping && probe_must_wait(probe, line, len));
}

/** Run the complete lines, unless they must wait. */
static void run_lines(struct probe *probe)
{
    struct probe_input *input = &probe->input;
    size_t begin = 0;

    for (;;) {
        const char *line = input->bytes->str + begin;
        const char *newline = memchr(line, '\n', input->bytes->len - begin);

        if (newline == NULL || must_wait(probe, line, (size_t)(newline - line))) {
            break;
        }
        size_t len = (size_t)(newline - line);
        begin += len + 1;
        if (input->skipping || len > PROBE_MAX_LINE) {
            input->skipping = false;
            probe_answer_error(probe, NULL, "the line is too long for any command");
        } else {
            probe_run_command(probe, line, len);
        }
    }
    g_string_erase(input->bytes, 0, (gssize)begin);
}

/** Drop the bytes of a line that is too long for a command, and note that it was too long. */
static void bound_line(struct probe_input *input)
{
    if (input->bytes->len > PROBE_MAX_LINE && memchr(input->bytes->str, '\n', input->bytes->len) == NULL) {
        input->skipping = true;
    }
    if (input->skipping && memchr(input->bytes->str, '\n', input->bytes->len) == NULL) {
        g_string_truncate(input->bytes, 0);
    }
}

static void end_input(struct probe_input *input)
{
    input->ended = true;
    if (input->bytes->len > 0 || input->skipping) {
        g_string_append_c(input->bytes, '\n');
    }
}

void probe_input_quit_if_done(struct probe *probe)
{
    bool decided = probe->was_ready || probe->lost || probe->status != 0;
    bool is_empty = probe->input.ended && probe->input.bytes->len == 0;

    if (probe->quitting || (is_empty && probe->busy == NULL && decided && !probe->stays)) {
        g_main_loop_quit(probe->loop);
    }
}

/** While a command waits for its answer, nothing is read, so that later commands do not pile up here. */
static bool is_reading(struct probe *probe)
{
    bool waits = probe->busy != NULL || memchr(probe->input.bytes->str, '\n', probe->input.bytes->len) != NULL;

    return !probe->input.ended && !probe->quitting && !waits;
}

static void watch_if_wanted(struct probe *probe)
{
    if (is_reading(probe) && probe->input.watch == 0 && !probe->input.is_person) {
        probe->input.watch = g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR | G_IO_NVAL, on_input, probe);
    }
}

static gboolean on_input(int fd, GIOCondition condition, gpointer user_data)
{
    struct probe *probe = user_data;
    char bytes[65536];
    ssize_t n = read(fd, bytes, sizeof(bytes)); /* it does not block: there is input, and no other thread reads it */

    (void)condition;
    if (n > 0) {
        g_string_append_len(probe->input.bytes, bytes, n);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        end_input(&probe->input);
    }
    run_lines(probe);
    bound_line(&probe->input);
    probe_input_quit_if_done(probe);
    if (!is_reading(probe)) {
        probe->input.watch = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_resume(gpointer user_data)
{
    struct probe *probe = user_data;

    run_lines(probe);
    watch_if_wanted(probe);
    probe_input_quit_if_done(probe);
    return G_SOURCE_REMOVE;
}

void probe_input_resume(struct probe *probe)
{
    /* It does not run here: the caller may be inside a command, or inside a callback of the front-end. */
    g_idle_add_full(G_PRIORITY_DEFAULT, on_resume, probe, NULL);
}

static gboolean on_typed(gpointer user_data)
{
    struct probe *probe = user_data;

    g_mutex_lock(&probe->input.lock);
    g_string_append_len(probe->input.bytes, probe->input.typed->str, (gssize)probe->input.typed->len);
    g_string_truncate(probe->input.typed, 0);
    if (probe->input.typed_end) {
        end_input(&probe->input);
    }
    g_mutex_unlock(&probe->input.lock);
    return on_resume(probe);
}

void probe_input_typed(struct probe *probe, const char *line)
{
    g_mutex_lock(&probe->input.lock);
    if (line != NULL) {
        g_string_append(probe->input.typed, line);
    } else {
        probe->input.typed_end = true;
    }
    g_mutex_unlock(&probe->input.lock);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_typed, probe, NULL);
}

void probe_input_begin(struct probe *probe)
{
    probe->input.bytes = g_string_new(NULL);
    probe->input.typed = g_string_new(NULL);
    probe->input.is_person = edit_begin(probe);
    watch_if_wanted(probe);
}

void probe_input_free(struct probe *probe)
{
    edit_end();
    if (probe->input.watch != 0) {
        g_source_remove(probe->input.watch);
    }
    g_string_free(probe->input.bytes, TRUE);
    g_string_free(probe->input.typed, TRUE);
}
