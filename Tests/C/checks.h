/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_CHECKS_H
#define VHUSHMEM_TESTS_CHECKS_H

/* Checks that print what they saw, where a test runs, and how it waits. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

/*
 * Long enough for the slowest tool on a busy machine: only a failing test waits so long. Nothing
 * else may depend on the speed of the machine, or on which thread or process runs first: see
 * docs/testing.md. VHUSHMEM_TEST_PATIENCE=N asks for N seconds: an emulated machine is slower.
 */
#define PATIENCE_MS patience_ms()

static inline int patience_ms(void)
{
    const char *seconds = getenv("VHUSHMEM_TEST_PATIENCE");
    return 1000 * (seconds != NULL && atoi(seconds) > 0 ? atoi(seconds) : 120);
}

/* ---- checks ---- */

/* How a failed check ends the program. A program may define something else before. */
#ifndef END_OF_FAILURE
#define END_OF_FAILURE() _exit(1)
#endif

/* The one GError of the tests: a call gets &error, and the check around the call looks at it. */
static __thread GError *error __attribute__((unused));

static inline __attribute__((noreturn, format(printf, 3, 4))) void fail_at(const char *file,
                                                                           int line,
                                                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    fflush(NULL);
    END_OF_FAILURE();
}

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)

/* The condition holds. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            FAIL("not so: %s", #condition);                                                        \
        }                                                                                          \
    } while (0)

/* Both numbers are the same. */
#define EQ(seen, wanted)                                                                           \
    eq_at(__FILE__, __LINE__, #seen, (uint64_t)(seen), #wanted, (uint64_t)(wanted))

static inline void eq_at(const char *file, int line, const char *seen_text, uint64_t seen,
                         const char *wanted_text, uint64_t wanted)
{
    if (seen != wanted) {
        fail_at(file, line,
                "%s is 0x%" PRIx64 " (%" PRId64 "), not %s, 0x%" PRIx64 " (%" PRId64 ")", seen_text,
                seen, (int64_t)seen, wanted_text, wanted, (int64_t)wanted);
    }
}

/* The call returns 0 or more, and sets no error. Returns what the call returned. */
#define ok(call) ok_at(__FILE__, __LINE__, #call, (int64_t)(call))

static inline int64_t ok_at(const char *file, int line, const char *text, int64_t value)
{
    if (value < 0 || error != NULL) {
        fail_at(file, line, "%s is %" PRId64 " (%s): %s", text, value,
                value < 0 ? strerror((int)-value) : "",
                error != NULL ? error->message : "no message");
    }
    return value;
}

/* The call returns a pointer, and sets no error. Returns the pointer. */
#define some(call) ((__typeof__(call))some_at(__FILE__, __LINE__, #call, (const void *)(call)))

static inline void *some_at(const char *file, int line, const char *text, const void *pointer)
{
    if (pointer == NULL || error != NULL) {
        fail_at(file, line, "%s is %p: %s", text, pointer,
                error != NULL ? error->message : "no message");
    }
    return (void *)pointer;
}

/* The call returns exactly this negative errno; the GError, if it set one, agrees. */
#define err(call, code)                                                                            \
    err_at(__FILE__, __LINE__, #call, (int64_t)(call), code, false,                                \
           (const char *const[]){NULL, NULL})

/* Like err. There must also be a GError, and its message contains each of the texts that follow. */
#define refused(call, code, ...)                                                                   \
    err_at(__FILE__, __LINE__, #call, (int64_t)(call), code, true,                                 \
           (const char *const[]){NULL, ##__VA_ARGS__, NULL})

static inline void err_at(const char *file, int line, const char *text, int64_t value, int code,
                          bool must_say, const char *const *words)
{
    if (value != code) {
        fail_at(file, line, "%s is %" PRId64 " (%s), not %d (%s): %s", text, value,
                value < 0 ? strerror((int)-value) : "", code, strerror(-code),
                error != NULL ? error->message : "no message");
    }
    if (error == NULL) {
        if (must_say) {
            fail_at(file, line, "%s set no GError", text);
        }
        return;
    }
    if (error->domain != VHUSHMEM_ERROR || error->code != -code) {
        fail_at(file, line, "%s set the GError %s %d, not %s %d: %s", text,
                g_quark_to_string(error->domain), error->code, g_quark_to_string(VHUSHMEM_ERROR),
                -code, error->message);
    }
    for (words++; *words != NULL; words++) {
        if (strstr(error->message, *words) == NULL) {
            fail_at(file, line, "%s says \"%s\", which has no \"%s\"", text, error->message,
                    *words);
        }
    }
    g_clear_error(&error);
}

/*
 * For calls that return an object or a bool: the code of their GError, in the form of the int
 * functions.
 */
static inline int64_t errno_of_null(const void *pointer)
{
    return pointer != NULL ? 0 : error != NULL ? -error->code : -1000;
}

static inline int64_t errno_of_false(bool value)
{
    return value ? 0 : error != NULL ? -error->code : -1000;
}

/* A number in the form that messages have. Valid until sixteen more were asked for. */
static inline const char *hex(uint64_t number)
{
    static __thread char texts[16][24];
    static __thread unsigned next;
    char *text = texts[next++ % 16];
    snprintf(text, 24, "0x%" PRIx64, number);
    return text;
}

/* The last line printed is the reason. */
static inline __attribute__((noreturn)) void skip(const char *reason)
{
    printf("%s\n", reason);
    exit(77);
}

/* SIGALRM ends a test that waits for ever. */
static __attribute__((constructor)) void end_some_day(void) { alarm(1200); }

/* ---- where it runs ---- */

static inline bool under_valgrind(void)
{
    static int known = -1; /* whichever thread asks first */
    if (__atomic_load_n(&known, __ATOMIC_RELAXED) < 0) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        int found = 0;
        while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
            found |= strstr(line, "vgpreload") != NULL;
        }
        if (maps != NULL) {
            fclose(maps);
        }
        __atomic_store_n(&known, found, __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&known, __ATOMIC_RELAXED) > 0;
}

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* Whether AddressSanitizer or ThreadSanitizer watches. */
static inline bool under_sanitizer(void) { return __asan_init != NULL || __tsan_init != NULL; }

/*
 * How many of `full` steps to take: VHUSHMEM_TEST_SCALE=N asks for an N-th, and valgrind gets a
 * fiftieth.
 */
static inline int steps(int full)
{
    const char *scale = getenv("VHUSHMEM_TEST_SCALE");
    int divisor = scale != NULL && atoi(scale) > 0 ? atoi(scale) : under_valgrind() ? 50 : 1;
    return full / divisor > 0 ? full / divisor : 1;
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* For a test that compares the bytes of messages that name pages. */
static inline void only_with_pages_of_4_kib(void)
{
    if (sysconf(_SC_PAGESIZE) != 4096) {
        skip("the compared bytes hold for pages of 4 KiB only");
    }
}

#define PAGE ((uint64_t)sysconf(_SC_PAGESIZE))

/* ---- waiting ---- */

static inline bool wait_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/*
 * Whether the descriptor of a front-end, a back-end or a channel has anything for a dispatch. What
 * is due at once is an expired timer there. The kernel may fire it a moment after it was set. A
 * timer of the test, which is set later, fires later.
 */
static inline bool has_work(int fd)
{
    const struct itimerspec past = {.it_value = {.tv_nsec = 1}};
    if (wait_readable(fd, 0)) {
        return true;
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer >= 0) { /* else the test has used up its descriptors */
        (void)timerfd_settime(timer, TFD_TIMER_ABSTIME, &past, NULL);
        (void)wait_readable(timer, PATIENCE_MS);
        close(timer);
    }
    return wait_readable(fd, 0);
}

/* Takes a step again and again until the condition is true. */
#define STEP_UNTIL(condition, step)                                                                \
    do {                                                                                           \
        int64_t end_ = now_ms() + PATIENCE_MS;                                                     \
        while (!(condition)) {                                                                     \
            if (now_ms() > end_) {                                                                 \
                FAIL("waited in vain for: %s", #condition);                                        \
            }                                                                                      \
            step;                                                                                  \
        }                                                                                          \
    } while (0)

#endif
