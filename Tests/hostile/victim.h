/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_VICTIM_H
#define VHUSHMEM_TESTS_VICTIM_H

/*
 * The process that hostile back-ends attack. It has two front-ends in one GMainLoop: the hostile
 * back-end's and another.
 */

#include "peer.h"

#include <glib-unix.h>

/*
 * Time limits of the hostile back-end's front-end, for cases that a limit must end. In all other
 * cases the limits are out of reach.
 */
#define MESSAGE_TIMEOUT_MS 300
#define REQUEST_TIMEOUT_MS 5000 /* the handshake must be done within it */

typedef struct victim {
    GMainLoop *loop;
    int64_t woke_us, worst_us; /* see victim_poll */
    vhushmem_frontend *frontends[2];
    int ready[2], over[2], code[2], lost[2];
} victim;

static victim the_victim;

/* What the victim's program does besides. All may be NULL. They report their finding as a
   number. */
typedef struct victim_habits {
    void (*begin)(vhushmem_frontend *hostile);
    void (*event)(vhushmem_frontend *hostile, const vhushmem_event *event);
    void (*command)(vhushmem_frontend *hostile, char what);
    void (*end)(void);
} victim_habits;

static victim_habits habits;
static int victim_tally;

static inline void victim_event(vhushmem_frontend *frontend, const vhushmem_event *event,
                                void *user_data)
{
    int which = (int)(intptr_t)user_data;
    if (which == 0 && habits.event != NULL) {
        habits.event(frontend, event);
    }
    if (event->type == VHUSHMEM_EVENT_READY) {
        the_victim.ready[which] = 1;
    } else if (event->type == VHUSHMEM_EVENT_CHANNEL_LOST) {
        the_victim.lost[which] = 1;
    } else if (event->type == VHUSHMEM_EVENT_DISCONNECT) {
        the_victim.over[which] = 1;
        the_victim.code[which] = event->result;
    }
}

/* How long this thread has waited for a processor, in nanoseconds, because of other processes. */
static inline int64_t kept_waiting_ns(void)
{
    char text[128] = "";
    long long ran, waited = 0;
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof(text) - 1);
        if (n <= 0 || sscanf(text, "%lld %lld", &ran, &waited) != 2) {
            waited = 0;
        }
        close(fd);
    }
    return waited;
}

/* Time as the victim sees it: it stands still while others have the processor. */
static inline int64_t own_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - kept_waiting_ns() / 1000;
}

/*
 * The loop's poll. The time between two of them is a turn of the loop: if a turn sleeps, or
 * computes for long, all others wait.
 */
static inline gint victim_poll(GPollFD *fds, guint count, gint timeout_ms)
{
    if (the_victim.woke_us != 0) {
        the_victim.worst_us = MAX(the_victim.worst_us, own_us() - the_victim.woke_us);
    }
    gint n = g_poll(fds, count, timeout_ms);
    the_victim.woke_us = own_us();
    return n;
}

/*
 * S: report the state; R: reset the hostile device; T: start and stop it; Q: end; others are the
 * habits'.
 */
static inline gboolean victim_control(gint control, GIOCondition condition, gpointer user_data)
{
    char what = 'Q';
    (void)condition;
    (void)user_data;
    if (read(control, &what, 1) != 1 || what == 'Q') {
        g_main_loop_quit(the_victim.loop);
        return G_SOURCE_REMOVE;
    }
    if (what == 'R') {
        vhushmem_frontend_reset(the_victim.frontends[0], NULL);
    } else if (what == 'T') {
        ok(vhushmem_frontend_start_device(the_victim.frontends[0], 0, NULL, 0, &error));
        ok(vhushmem_frontend_stop_device(the_victim.frontends[0], NULL, 0, &error));
    } else if (what != 'S' && habits.command != NULL) {
        habits.command(the_victim.frontends[0], what);
    }
    char *fds = fds_now(), *maps = maps_now();
    char *text =
        g_strdup_printf("%d %d %d %d %d %d %d\n%s%c%s", the_victim.ready[0], the_victim.ready[1],
                        the_victim.over[0], the_victim.code[0], the_victim.lost[0],
                        (int)(the_victim.worst_us / 1000), victim_tally, fds, 0, maps);
    the_victim.woke_us = 0; /* the report itself takes long */
    uint32_t size = (uint32_t)(strlen(text) + 1 + strlen(maps));
    CHECK(write(control, &size, sizeof(size)) == sizeof(size));
    for (uint32_t sent = 0; sent < size;) {
        ssize_t n = write(control, text + sent, size - sent);
        CHECK(n > 0);
        sent += (uint32_t)n;
    }
    g_free(fds);
    g_free(maps);
    g_free(text);
    return G_SOURCE_CONTINUE;
}

static inline void quiet(const gchar *domain, GLogLevelFlags level, const gchar *text,
                         gpointer user_data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)user_data;
}

static inline void victim_run(int control, int hostile, int good, unsigned request_timeout,
                              unsigned message_timeout)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .request_timeout_ms = request_timeout,
                                         .message_timeout_ms = message_timeout};
    vhushmem_frontend_options patient = {.struct_size = sizeof(patient),
                                         .request_timeout_ms = PATIENCE_MS,
                                         .message_timeout_ms = PATIENCE_MS};
    int sockets[2] = {hostile, good};
    g_log_set_default_handler(quiet, NULL);
    the_victim.loop = g_main_loop_new(NULL, FALSE);
    g_main_context_set_poll_func(NULL, victim_poll);
    for (int i = 0; i < 2; i++) {
        vhushmem_frontend *f =
            some(vhushmem_frontend_new_fd(sockets[i], i == 0 ? &options : &patient, &error));
        the_victim.frontends[i] = f;
        ok(vhushmem_frontend_set_callback(f, victim_event, (void *)(intptr_t)i, NULL));
        GSource *source = vhushmem_frontend_source_new(f);
        g_source_attach(source, NULL);
        g_source_unref(source);
        ok(vhushmem_frontend_start(f, &error));
    }
    if (habits.begin != NULL) {
        habits.begin(the_victim.frontends[0]);
    }
    g_unix_fd_add(control, G_IO_IN | G_IO_HUP, victim_control, NULL);
    g_main_loop_run(the_victim.loop);
    if (habits.end != NULL) {
        habits.end();
    }
    for (int i = 0; i < 2; i++) {
        vhushmem_frontend_free(the_victim.frontends[i]);
    }
    g_main_loop_unref(the_victim.loop);
    close(control);
}

#endif
