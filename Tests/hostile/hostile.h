/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_HOSTILE_H
#define VHUSHMEM_TESTS_HOSTILE_H

/*
 * Hostile back-ends against a process of its own, the victim. The victim uses the shipped library
 * and runs two front-ends in one GMainLoop. One of them has the hostile back-end; the other has a
 * well-behaved one, which must be served throughout.
 *
 * A case says what it does and what must come of it. After the case the victim is alive, has its
 * former descriptors and mappings, and ends well. Each case prints a line: `case NAME: ok
 * (OUTCOME)`.
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
 * a processor.
 */
#define WORST_TURN_MS 3000

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
 * Of the hostile back-end's front-end. Only cases that are to end by a time limit have one that can
 * be reached.
 */
static unsigned request_timeout_ms = PATIENCE_MS, message_timeout_ms = PATIENCE_MS;

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
    char why[200];        /* a case was skipped */
    VhostUserMMap mapped; /* what a served case has left; len 0: nothing */
    pthread_t pinger;
    int stop, pings;
    int worst_ms; /* the longest turn of the victim's loop */
    int tally;    /* what its habits found */
    look before;  /* what it has at the end as well */
};

/* ---- looking at it ---- */

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

/* Every line of one is in the other. */
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
 * Of a case with preparations the arena does not wait for more than the channel, unless all cases
 * become ready all the same.
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

/* ---- a case ---- */

static inline void open_arena(arena *a, const hostile_case *c)
{
    int control[2], hostile[2], good[2];
    memset(a, 0, sizeof(*a));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hostile) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, good) == 0);
    a->victim = fork();
    CHECK(a->victim >= 0);
    if (a->victim == 0) {
        close(control[0]);
        close(hostile[0]);
        close(good[0]);
        victim_run(control[1], hostile[1], good[1], request_timeout_ms, message_timeout_ms);
        exit(0);
    }
    close(control[1]);
    close(hostile[1]);
    close(good[1]);
    a->control = control[0];
    a->file = memfd_of(FILE_SIZE, 1);
    peer_init(&a->good);
    peer_add_region(&a->good, 0, REGION);
    peer_start(&a->good, good[0]);
    peer_init(&a->hostile);
    peer_add_region(&a->hostile, 0, REGION);
    if (c->prepare != NULL) {
        c->prepare(a, c->with);
    }
    peer_start(&a->hostile, hostile[0]);
    for (int64_t end = now_ms() + PATIENCE_MS;;) {
        look l = look_at(a, 'S');
        bool is_known =
            l.good_ready &&
            (l.ready || l.over ||
             (!becomes_ready && c->act != NULL && c->prepare != NULL && a->hostile.channel >= 0));
        g_free(l.text);
        if (is_known) {
            break;
        }
        CHECK(now_ms() < end);
        usleep(200);
    }
    a->channel = a->hostile.channel;
}

static inline void close_arena(arena *a)
{
    int status = -1;
    char quit = 'Q';
    CHECK(write(a->control, &quit, 1) == 1);
    for (int64_t end = now_ms() + PATIENCE_MS; waitpid(a->victim, &status, WNOHANG) == 0;) {
        CHECK(now_ms() < end);
        usleep(200);
    }
    EQ(status, 0);
    peer_end(&a->good);
    peer_end(&a->hostile);
    close(a->control);
    close(a->file);
}

static inline int run_case(const hostile_case *c, arena *a)
{
    int outcome;
    open_arena(a, c);
    a->before = look_at(a, 'S');
    CHECK(pthread_create(&a->pinger, NULL, ping, a) == 0);
    if (c->act != NULL) {
        outcome = c->act(a, c->with);
    } else {
        look l = look_at(a, 'S');
        outcome = l.over ? ENDED : READY;
        CHECK(!l.over || l.code < 0);
        g_free(l.text);
    }
    __atomic_store_n(&a->stop, 1, __ATOMIC_RELEASE);
    pthread_join(a->pinger, NULL);
    if (outcome == 0 && a->mapped.len != 0) {
        send_message(a->channel, UNMAP, NEED_REPLY, &a->mapped, sizeof(a->mapped), NULL, 0);
        EQ(answer_on(a->channel, UNMAP, PATIENCE_MS), 0);
    }
    if (outcome == CLOSED) {
        CHECK(hung_up(a->channel, PATIENCE_MS));
    }
    if (outcome <= 0 || outcome == SILENT) { /* the channel lives */
        VhostUserMMap map = {.shm_offset = REGION - PAGE, .len = PAGE};
        /* what was not agreed on, or is not there, is so now */
        int wanted = c->prepare == NULL ? 0 : outcome;
        send_message(a->channel, MAP, NEED_REPLY, &map, sizeof(map), &a->file, 1);
        EQ(answer_on(a->channel, MAP, PATIENCE_MS), wanted);
        send_message(a->channel, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
        EQ(answer_on(a->channel, UNMAP, PATIENCE_MS), wanted);
    }
    EQ(good_pair(a), 0);
    CHECK(a->pings > 0);
    look after = look_at(a, 'S');
    if (a->worst_ms > WORST_TURN_MS) {
        FAIL("the victim's loop was busy or asleep for %d ms", a->worst_ms);
    }
    if (outcome == CLOSED || outcome == ENDED) {
        CHECK(after.lost || after.over);
        if (!is_part(after.fds, a->before.fds)) {
            FAIL("what was\n%sis now\n%s", a->before.fds, after.fds);
        }
    } else if (strcmp(a->before.fds, after.fds) != 0) {
        FAIL("what was\n%sis now\n%s", a->before.fds, after.fds);
    }
    if (c->act != NULL && outcome != ENDED && strcmp(a->before.maps, after.maps) != 0) {
        FAIL("what was\n%sis now\n%s", a->before.maps, after.maps);
    }
    g_free(a->before.text);
    g_free(after.text);
    close_arena(a);
    return outcome;
}

static inline const char *outcome_text(int outcome)
{
    switch (outcome) {
    case 0:
        return "served";
    case CLOSED:
        return "the channel is closed";
    case SILENT:
        return "not answered";
    case READY:
        return "ready";
    case ENDED:
        return "the connection is ended";
    default:
        return strerror(-outcome);
    }
}

/* Each in a process of its own, which may fail without the others. */
static int failures;

static inline void run_cases(const hostile_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            static arena a;
            alarm(2 * PATIENCE_MS / 1000);
            int outcome = run_case(&cases[i], &a);
            if (outcome == SKIPPED) {
                printf("case %s: skip (%s)\n", cases[i].name, a.why);
            } else if (outcome != cases[i].outcome) {
                printf("case %s: FAIL (%s", cases[i].name, outcome_text(outcome));
                printf(", not: %s)\n", outcome_text(cases[i].outcome));
                fflush(stdout);
                _exit(1);
            } else {
                printf("case %s: ok (%s)\n", cases[i].name, outcome_text(outcome));
            }
            fflush(stdout);
            exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (status != 0) {
            failures++;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 1) {
                printf("case %s: FAIL (status 0x%x)\n", cases[i].name, status);
            } else {
                printf("case %s: FAIL\n", cases[i].name);
            }
        }
    }
}

#define CASES_BEGIN(count) printf("cases %zu\n", (size_t)(count))

#endif
