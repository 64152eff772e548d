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

#include "arena.h"

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
        unsigned patience = PATIENCE_MS;
        victim_run(control[1], hostile[1], good[1],
                   request_timeout_ms != 0 ? request_timeout_ms : patience,
                   message_timeout_ms != 0 ? message_timeout_ms : patience);
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
