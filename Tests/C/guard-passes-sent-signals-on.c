/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (a queued SIGBUS does not end a process there) */
/*
 * With the guard installed, every other SIGBUS has its usual effect: one that a process sends, one that reports bad memory
 * which nothing has touched (BUS_MCEERR_AO), and one of the program's own memory.
 */
#include "guard-rig.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define COOKIE 0x51

enum way { KILL, RAISE, QUEUE, ASYNCHRONOUS, TOUCH, WAYS };
static const char *const way_names[] = {"kill", "raise", "sigqueue", "BUS_MCEERR_AO", "a truncated page"};

static char *pages[2];
static volatile int calls, depth, deepest, good_infos;
static enum way way;

/* ---- what the program had before ---- */

static void note(int number)
{
    EQ(number, SIGBUS);
    calls++;
    for (int i = 0; i < 2; i++) { /* nothing is raised again */
        CHECK(mmap(pages[i], PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == pages[i]);
        if (way == TOUCH && i == calls - 1) {
            break;
        }
    }
    if (++depth > deepest) {
        deepest = depth;
        if (depth == 1) {
            raise(SIGBUS); /* blocked until this call ends, unless SA_NODEFER is set */
        }
    }
    depth--;
}

static void note_info(int number, siginfo_t *info, void *context)
{
    static const int codes[] = {SI_USER, SI_TKILL, SI_QUEUE, BUS_MCEERR_AO, BUS_ADRERR};
    CHECK(context != NULL);
    EQ(info->si_signo, SIGBUS);
    if (depth == 0 && info->si_code == codes[way]) {
        good_infos += way == QUEUE          ? info->si_value.sival_int == COOKIE
                      : way == ASYNCHRONOUS ? info->si_addr == (void *)pages[1]
                      : way == TOUCH        ? info->si_addr == (void *)pages[0] || info->si_addr == (void *)pages[1]
                                            : info->si_pid == getpid();
    }
    note(number);
}

static const struct before {
    const char *name;
    void (*handler)(int);
    int flags;
} befores[] = {
    {"SIG_DFL", SIG_DFL, 0},
    {"SIG_DFL with SA_SIGINFO", SIG_DFL, SA_SIGINFO},
    {"SIG_IGN", SIG_IGN, 0},
    {"SIG_IGN with SA_SIGINFO", SIG_IGN, SA_SIGINFO},
    {"a handler", note, SA_RESTART},
    {"a handler with SA_SIGINFO", (void (*)(int))(uintptr_t)note_info, SA_SIGINFO},
    {"a handler that is called once", note, SA_RESETHAND},
    {"a handler with SA_SIGINFO that is called once", (void (*)(int))(uintptr_t)note_info, SA_SIGINFO | SA_RESETHAND},
    {"a handler with SA_NODEFER", note, SA_NODEFER},
};

/* ---- what happens ---- */

static char *truncated(void)
{
    int fd = memfd_of(PAGE, 0);
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    return page;
}

static void happens(int time)
{
    siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AO};
    info.si_addr = pages[1];
    switch (way) {
    case KILL:
        CHECK(kill(getpid(), SIGBUS) == 0);
        break;
    case RAISE:
        CHECK(raise(SIGBUS) == 0);
        break;
    case QUEUE:
        CHECK(sigqueue(getpid(), SIGBUS, (union sigval){.sival_int = COOKIE}) == 0);
        break;
    case ASYNCHRONOUS:
        CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info) == 0);
        break;
    default:
        EQ(*(volatile char *)pages[time], 0);
    }
}

/* The guard still repairs a page of a window. */
static void guard_works(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, PAGE, NULL, &error));
    int fd = memfd_of(PAGE, 1), before = calls;
    ok(vhushmem_region_map(region, fd, 0, 0, PAGE, 0, &error));
    CHECK(ftruncate(fd, 0) == 0);
    EQ(word_at(region, 0), 0);
    EQ(calls, before);
    vhushmem_device_unref(device);
    close(fd);
}

/* How a process ends that gets the signal twice: what its handler has seen, or the signal that ended it. */
static int ends(const struct before *b, bool guarded)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_handler = b->handler, .sa_flags = b->flags};
        struct rlimit none = {0};
        CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
        pages[0] = truncated();
        pages[1] = truncated();
        CHECK(sigaction(SIGBUS, &action, NULL) == 0);
        if (guarded) {
            ok(vhushmem_guard_install(&error));
        }
        happens(0);
        happens(1);
        if (guarded) {
            guard_works();
        }
        _exit(calls << 4 | deepest << 2 | good_infos);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- a system call that is under way ---- */

static pid_t reader;
static int bytes[2];

static bool is_asleep(void)
{
    char path[64], *text = NULL;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)reader);
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    bool asleep = strstr(text, ") S ") != NULL;
    g_free(text);
    return asleep;
}

static void count(int number)
{
    (void)number;
    calls++;
}

static void *interrupt(void *user_data)
{
    STEP_UNTIL(is_asleep(), usleep(1000));
    CHECK(syscall(SYS_tgkill, getpid(), reader, SIGBUS) == 0);
    if (*(bool *)user_data) {
        STEP_UNTIL(calls > 0 && is_asleep(), usleep(1000));
        CHECK(write(bytes[1], "", 1) == 1);
    }
    return NULL;
}

/* Whether a read goes on after a handler. */
static int read_under_way(int flags, bool guarded)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_handler = count, .sa_flags = flags};
        bool restarts = (flags & SA_RESTART) != 0;
        pthread_t thread;
        char byte;
        reader = (pid_t)syscall(SYS_gettid);
        CHECK(sigaction(SIGBUS, &action, NULL) == 0);
        if (guarded) {
            ok(vhushmem_guard_install(&error));
        }
        CHECK(pipe2(bytes, O_CLOEXEC) == 0);
        CHECK(pthread_create(&thread, NULL, interrupt, &restarts) == 0);
        ssize_t got = read(bytes[0], &byte, 1);
        _exit(got == 1 ? 1 : errno == EINTR ? 2 : 3);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int main(void)
{
    for (way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < G_N_ELEMENTS(befores); i++) {
            int wanted = ends(&befores[i], false), seen = ends(&befores[i], true);
            if (seen != wanted) {
                FAIL("%s after %s: %d with the guard, %d without", way_names[way], befores[i].name, seen, wanted);
            }
            if (befores[i].handler == SIG_DFL) {
                EQ(wanted, -SIGBUS);
            }
        }
    }
    if (!under_valgrind()) { /* its threads sleep when others run */
        for (int guarded = 0; guarded < 2; guarded++) {
            EQ(read_under_way(SA_RESTART, guarded), 1);
            EQ(read_under_way(0, guarded), 2);
        }
    }
    return 0;
}
