/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_ARENA_H
#define VHUSHMEM_TESTS_ARENA_H

/*
 * The arena of a hostile case: the victim's process, its hostile and its good back-end, looks at
 * the victim, and requests to it. hostile.h has the cases.
 */

#include "victim.h"

#include <sys/eventfd.h>
#include <sys/wait.h>

#define REGION_PAGES 64
#define FILE_PAGES 16
#define REGION ((uint64_t)REGION_PAGES * PAGE)
#define FILE_SIZE ((uint64_t)FILE_PAGES * PAGE)
#define NEED_REPLY 0x9
/*
 * No turn of the victim's loop takes longer than this, not counting the time in which it waits for
 * a processor. An emulated machine is slower.
 */
#define WORST_TURN_MS (3000 * (1000 / steps(1000)))

/*
 * The outcome of a case: 0 is served, a negative number is the errno of a refusal, or one of these.
 */
enum { CLOSED = 1, SILENT, READY, ENDED, SKIPPED };

typedef struct arena arena;

typedef struct hostile_case {
    const char *name;
    int outcome;
    int (*act)(arena *a, const void *with); /* NULL: the handshake is the case */
    const void *with;
    void (*prepare)(arena *a, const void *with);
} hostile_case;

/*
 * The time limits of the hostile back-end's front-end. Only cases that must end by a time limit set
 * one that can be reached.
 */
static unsigned request_timeout_ms, message_timeout_ms; /* 0: PATIENCE_MS */

typedef struct look {
    int ready, good_ready, over, code, lost, worst_ms;
    char *fds, *maps, *text;
} look;

struct arena {
    pid_t victim;
    int control;
    peer hostile, good;
    int channel; /* the hostile back-end's */
    int file;
    char why[200];        /* why the case was skipped */
    VhostUserMMap mapped; /* the mapping that a served case has left; len 0: none */
    pthread_t pinger;
    int stop, pings;
    int worst_ms; /* the longest turn of the victim's loop */
    int tally;    /* what the victim's habits counted */
    look before;  /* what the victim must have at the end too */
};

/* ---- looking at the victim ---- */

static inline look look_at(arena *a, char how)
{
    look l = {0};
    uint32_t size = 0, have = 0;
    CHECK(write(a->control, &how, 1) == 1);
    if (!wait_readable(a->control, PATIENCE_MS) ||
        read(a->control, &size, sizeof(size)) != sizeof(size)) {
        FAIL("the victim does not answer: %s",
             waitpid(a->victim, NULL, WNOHANG) == 0 ? "it hangs" : "it is dead");
    }
    l.text = g_malloc0(size + 1);
    while (have < size) {
        ssize_t n = read(a->control, l.text + have, size - have);
        CHECK(n > 0);
        have += (uint32_t)n;
    }
    CHECK(sscanf(l.text, "%d %d %d %d %d %d %d", &l.ready, &l.good_ready, &l.over, &l.code, &l.lost,
                 &l.worst_ms, &a->tally) == 7);
    a->worst_ms = l.worst_ms;
    l.fds = strchr(l.text, '\n') + 1;
    l.maps = l.text + strlen(l.text) + 1;
    return l;
}

/* Each line of `part` is in `whole`. */
static inline bool is_part(const char *part, const char *whole)
{
    char **lines = g_strsplit(part, "\n", -1);
    bool all = true;
    for (char **line = lines; *line != NULL; line++) {
        all = all && strstr(whole, *line) != NULL;
    }
    g_strfreev(lines);
    return all;
}

static inline bool is_ready(arena *a)
{
    look l = look_at(a, 'S');
    g_free(l.text);
    return l.ready;
}

/*
 * In a case with preparations the arena waits only for the channel, unless this says that all cases
 * become ready.
 */
static bool becomes_ready;

static inline void wait_until_ready(arena *a) { STEP_UNTIL(is_ready(a), usleep(200)); }

static inline long victim_kib(arena *a)
{
    char *path = g_strdup_printf("/proc/%d/status", (int)a->victim), *text = NULL;
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    const char *line = some(strstr(text, "VmRSS:"));
    long kib = strtol(line + 6, NULL, 10);
    g_free(text);
    g_free(path);
    return kib;
}

/* ---- requests ---- */

/* What the victim answers on a channel: 0, a negative errno, CLOSED or SILENT. */
static inline int answer_on(int channel, uint32_t request, int timeout_ms)
{
    message m;
    int got = receive(channel, &m, timeout_ms);
    if (got == 0) {
        return CLOSED;
    }
    if (got < 0) {
        return SILENT;
    }
    EQ(m.header.request, request);
    EQ(m.header.flags, 0x5);
    EQ(m.header.size, 8);
    EQ(m.fd_count, 0);
    int64_t value = (int64_t)u64_of(&m);
    CHECK(value <= 0 && value >= -4095);
    return (int)value;
}

static inline int ask(arena *a, uint32_t request, uint32_t flags, const void *payload,
                      uint32_t size, const int *fds, int fd_count)
{
    if (try_send_message(a->channel, request, flags, payload, size, fds, fd_count) < 0) {
        return CLOSED;
    }
    int result = answer_on(a->channel, request, PATIENCE_MS);
    if (result == 0 && request == MAP && size == sizeof(a->mapped)) {
        memcpy(&a->mapped, payload, size);
    }
    return result;
}

static inline int ask_map(arena *a, const VhostUserMMap *map, int fd)
{
    return ask(a, MAP, NEED_REPLY, map, sizeof(*map), &fd, 1);
}

static inline VhostUserMMap usual_map(void)
{
    VhostUserMMap map = {.shm_offset = 4 * PAGE, .len = 2 * PAGE, .fd_offset = PAGE};
    return map;
}

static inline int good_pair(arena *a)
{
    VhostUserMMap map = {.len = PAGE};
    send_message(a->good.channel, MAP, NEED_REPLY, &map, sizeof(map), &a->file, 1);
    int result = answer_on(a->good.channel, MAP, PATIENCE_MS);
    if (result == 0) {
        send_message(a->good.channel, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
        result = answer_on(a->good.channel, UNMAP, PATIENCE_MS);
    }
    return result;
}

static inline void *ping(void *user_data)
{
    arena *a = user_data;
    do {
        EQ(good_pair(a), 0);
        a->pings++;
        usleep(500);
    } while (!__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE));
    return NULL;
}

#endif
