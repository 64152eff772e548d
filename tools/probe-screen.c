/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * Standard output. A thread writes it, so a slow reader stops nothing else. The bytes that wait are limited. A whole line that
 * does not fit is dropped and counted. When there is room again, a line says how many were dropped.
 */

#include "probe.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The longest wait when the program is stopped. */
#define FLUSH_PATIENCE_US (G_USEC_PER_SEC / 2)
/* The longest wait, at the program's end, for a reader that reads nothing. */
#define END_PATIENCE_US (2 * G_USEC_PER_SEC)

static struct {
    GMutex lock;
    GCond changed;
    GThread *thread;
    GQueue waiting; /* of struct piece */
    uint64_t size;  /* bytes that wait */
    uint64_t dropped;
    uint64_t written;
    bool ending, failed, colours, json;
} screen;

struct piece {
    size_t len;
    bool line;
    char bytes[];
};

static void append(const char *bytes, size_t len, bool line)
{
    struct piece *piece = g_malloc(sizeof(*piece) + len);

    piece->len = len;
    piece->line = line;
    memcpy(piece->bytes, bytes, len);
    g_queue_push_tail(&screen.waiting, piece);
    screen.size += len;
}

/** Append a line that says how many lines are missing here. */
static void append_dropped(void)
{
    char *line = screen.json ? g_strdup_printf("{\"event\":\"dropped\",\"lines\":%" PRIu64 "}\n", screen.dropped)
                             : g_strdup_printf("dropped   lines %" PRIu64 "\n", screen.dropped);

    screen.dropped = 0;
    append(line, strlen(line), true);
    g_free(line);
}

void screen_write(const char *bytes, size_t len, bool line)
{
    g_mutex_lock(&screen.lock);
    if (line && len > 0 && bytes[0] == '{') {
        screen.json = true;
    }
    if (screen.size + len > PROBE_MAX_OUTPUT || screen.failed) {
        screen.dropped += line ? 1 : 0;
    } else {
        if (screen.dropped > 0) {
            append_dropped();
        }
        append(bytes, len, line);
        g_cond_signal(&screen.changed);
    }
    g_mutex_unlock(&screen.lock);
}

void screen_printf(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    screen_write(text, strlen(text), false);
    g_free(text);
}

static bool write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd target = {.fd = STDOUT_FILENO, .events = POLLOUT};

            poll(&target, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        }
        n = MAX(n, 0);
        bytes += n;
        len -= (size_t)n;
        g_mutex_lock(&screen.lock);
        screen.written += (uint64_t)n;
        g_mutex_unlock(&screen.lock);
    }
    return true;
}

static gpointer run_screen(gpointer unused)
{
    g_mutex_lock(&screen.lock);
    while (!screen.ending || !g_queue_is_empty(&screen.waiting) || (screen.dropped > 0 && !screen.failed)) {
        struct piece *piece = g_queue_pop_head(&screen.waiting);

        if (piece == NULL && screen.dropped > 0 && !screen.failed) {
            append_dropped();
            continue;
        }
        if (piece == NULL) {
            g_cond_wait(&screen.changed, &screen.lock);
            continue;
        }
        g_mutex_unlock(&screen.lock);
        edit_hide(piece->line);
        bool written = write_all(piece->bytes, piece->len);
        edit_show(piece->line);
        g_mutex_lock(&screen.lock);
        screen.size -= piece->len;
        screen.failed = screen.failed || !written;
        g_free(piece);
        if (screen.size == 0) {
            g_cond_broadcast(&screen.changed);
        }
    }
    g_cond_broadcast(&screen.changed);
    g_mutex_unlock(&screen.lock);
    return unused;
}

void screen_begin(void)
{
    const char *term = g_getenv("TERM"), *no_color = g_getenv("NO_COLOR");

    screen.colours = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') && g_strcmp0(term, "dumb") != 0;
    screen.thread = g_thread_new("screen", run_screen, NULL);
}

bool screen_has_colours(void) { return screen.colours; }

void screen_flush(void)
{
    gint64 until = g_get_monotonic_time() + FLUSH_PATIENCE_US;

    g_mutex_lock(&screen.lock);
    while (screen.size > 0 && !screen.failed && g_cond_wait_until(&screen.changed, &screen.lock, until)) {}
    g_mutex_unlock(&screen.lock);
}

bool screen_end(void)
{
    uint64_t written;
    bool done;

    if (screen.thread == NULL) {
        return true;
    }
    g_mutex_lock(&screen.lock);
    screen.ending = true;
    g_cond_broadcast(&screen.changed);
    do {
        gint64 until = g_get_monotonic_time() + END_PATIENCE_US;

        written = screen.written;
        while ((screen.size > 0 || screen.dropped > 0) && !screen.failed &&
               g_cond_wait_until(&screen.changed, &screen.lock, until)) {}
        done = screen.size == 0 && screen.dropped == 0;
    } while (!done && !screen.failed && screen.written != written);
    done = done && !screen.failed;
    g_mutex_unlock(&screen.lock);
    if (done) {
        g_thread_join(screen.thread);
    } else {
        g_thread_unref(screen.thread); /* the thread may never return from its write; the program ends without it */
    }
    screen.thread = NULL;
    return done;
}
