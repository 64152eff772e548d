/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_HARNESS_H
#define VHUSHMEM_TESTS_HARNESS_H

/*
 * What every test stands on: checks that print what they saw, snapshots of descriptors and mappings, and files with a known
 * content. Include it first.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

/*
 * Long enough for the slowest tool on a busy machine: only a test that fails waits so long. Nothing else may depend on how fast the machine
 * is, or on which thread or process runs first: see docs/testing.md.
 */
#define PATIENCE_MS 120000

/* ---- checks ---- */

/* How a check that fails ends the program. Who wants something else defines it before. */
#ifndef END_OF_FAILURE
#define END_OF_FAILURE() _exit(1)
#endif

/* The one GError of the tests: a call is handed &error, and the check that stands around the call looks at it. */
static __thread GError *error __attribute__((unused));

static inline __attribute__((noreturn, format(printf, 3, 4))) void fail_at(const char *file, int line, const char *format, ...)
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
#define CHECK(condition)                                                                                                       \
    do {                                                                                                                       \
        if (!(condition)) {                                                                                                    \
            FAIL("not so: %s", #condition);                                                                                    \
        }                                                                                                                      \
    } while (0)

/* Both numbers are the same. */
#define EQ(seen, wanted) eq_at(__FILE__, __LINE__, #seen, (uint64_t)(seen), #wanted, (uint64_t)(wanted))

static inline void eq_at(const char *file, int line, const char *seen_text, uint64_t seen, const char *wanted_text,
                         uint64_t wanted)
{
    if (seen != wanted) {
        fail_at(file, line, "%s is 0x%" PRIx64 " (%" PRId64 "), not %s, 0x%" PRIx64 " (%" PRId64 ")", seen_text, seen,
                (int64_t)seen, wanted_text, wanted, (int64_t)wanted);
    }
}

/* The call returns 0 or more, and sets no error. Returns what the call returned. */
#define ok(call) ok_at(__FILE__, __LINE__, #call, (int64_t)(call))

static inline int64_t ok_at(const char *file, int line, const char *text, int64_t value)
{
    if (value < 0 || error != NULL) {
        fail_at(file, line, "%s is %" PRId64 " (%s): %s", text, value, value < 0 ? strerror((int)-value) : "",
                error != NULL ? error->message : "no message");
    }
    return value;
}

/* The call returns a pointer, and sets no error. Returns the pointer. */
#define some(call) ((__typeof__(call))some_at(__FILE__, __LINE__, #call, (const void *)(call)))

static inline void *some_at(const char *file, int line, const char *text, const void *pointer)
{
    if (pointer == NULL || error != NULL) {
        fail_at(file, line, "%s is %p: %s", text, pointer, error != NULL ? error->message : "no message");
    }
    return (void *)pointer;
}

/* The call returns exactly this negative errno; the GError, if it set one, agrees. */
#define err(call, code) err_at(__FILE__, __LINE__, #call, (int64_t)(call), code, false, (const char *const[]){NULL, NULL})

/* Like err, and there must be a GError, whose message contains each of the texts that follow. */
#define refused(call, code, ...)                                                                                               \
    err_at(__FILE__, __LINE__, #call, (int64_t)(call), code, true, (const char *const[]){NULL, ##__VA_ARGS__, NULL})

static inline void err_at(const char *file, int line, const char *text, int64_t value, int code, bool must_say,
                          const char *const *words)
{
    if (value != code) {
        fail_at(file, line, "%s is %" PRId64 " (%s), not %d (%s): %s", text, value, value < 0 ? strerror((int)-value) : "",
                code, strerror(-code), error != NULL ? error->message : "no message");
    }
    if (error == NULL) {
        if (must_say) {
            fail_at(file, line, "%s set no GError", text);
        }
        return;
    }
    if (error->domain != VHUSHMEM_ERROR || error->code != -code) {
        fail_at(file, line, "%s set the GError %s %d, not %s %d: %s", text, g_quark_to_string(error->domain), error->code,
                g_quark_to_string(VHUSHMEM_ERROR), -code, error->message);
    }
    for (words++; *words != NULL; words++) {
        if (strstr(error->message, *words) == NULL) {
            fail_at(file, line, "%s says \"%s\", which has no \"%s\"", text, error->message, *words);
        }
    }
    g_clear_error(&error);
}

/* For calls that return an object or a bool: what their GError says, as the int functions have it. */
static inline int64_t errno_of_null(const void *pointer) { return pointer != NULL ? 0 : error != NULL ? -error->code : -1000; }

static inline int64_t errno_of_false(bool value) { return value ? 0 : error != NULL ? -error->code : -1000; }

/* A number as messages have it. Good until sixteen more were asked for. */
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

/* A test that waits for ever ends by SIGALRM. */
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

/* AddressSanitizer or ThreadSanitizer. */
static inline bool under_sanitizer(void) { return __asan_init != NULL || __tsan_init != NULL; }

/* How many of `full` steps to take: VHUSHMEM_TEST_SCALE=N asks for an N-th, and valgrind gets a fiftieth. */
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

/* Take a step again and again until something has become true. */
#define STEP_UNTIL(condition, step)                                                                                            \
    do {                                                                                                                       \
        int64_t end_ = now_ms() + PATIENCE_MS;                                                                                 \
        while (!(condition)) {                                                                                                 \
            if (now_ms() > end_) {                                                                                             \
                FAIL("waited in vain for: %s", #condition);                                                                    \
            }                                                                                                                  \
            step;                                                                                                              \
        }                                                                                                                      \
    } while (0)

/* ---- snapshots ---- */

/* Every open descriptor and what it is. Freed by `same`. */
static inline char *fds_now(void)
{
    GString *list = g_string_new(NULL);
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], target[300];
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(dir)) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = 0;
        g_string_append_printf(list, "%d %s\n", fd, target);
    }
    closedir(dir);
    return g_string_free(list, FALSE);
}

static inline int fd_count(void)
{
    char *list = fds_now();
    int count = 0;
    for (char *c = list; *c != 0; c++) {
        count += *c == '\n';
    }
    g_free(list);
    return count;
}

/*
 * The mappings between two addresses, neighbours that the kernel may or may not have merged taken together. Freed by `same`.
 * Up to UINT64_MAX, the heap, the stack and what the kernel provides are left out.
 */
static inline char *maps_between(uint64_t from, uint64_t to)
{
    GString *list = g_string_new(NULL);
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    char line[600], last_perms[8] = "", last_name[400] = "";
    uint64_t first = 0, last_end = 0, last_offset = 0;
    bool pending = false;
    for (;;) {
        uint64_t start = 0, end = 0, offset = 0;
        char perms[8] = "", name[400] = "";
        bool more = fgets(line, sizeof(line), maps) != NULL;
        if (more) {
            int at = 0;
            CHECK(sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s%n", &start, &end, perms, &offset, &at) == 4);
            snprintf(name, sizeof(name), "%s", line + at + strspn(line + at, " "));
            name[strcspn(name, "\n")] = 0;
            if (end <= from || start >= to || (name[0] == '[' && to == UINT64_MAX)) {
                continue;
            }
            if (name[0] == '[') {
                name[0] = 0; /* the kernel calls "[heap]" whatever lies behind the heap's end when that has been moved */
            }
            if (pending && start == last_end && strcmp(perms, last_perms) == 0 && strcmp(name, last_name) == 0 &&
                (name[0] == 0 || offset == last_offset)) {
                last_end = end;
                last_offset = offset + (end - start);
                continue;
            }
        }
        if (pending) {
            g_string_append_printf(list, "%" PRIx64 "-%" PRIx64 " %s %" PRIx64 " %s\n", first, last_end, last_perms,
                                   last_name[0] == 0 ? 0 : last_offset - (last_end - first), last_name);
        }
        if (!more) {
            break;
        }
        pending = true;
        first = start;
        last_end = end;
        last_offset = offset + (end - start);
        strcpy(last_perms, perms);
        strcpy(last_name, name);
    }
    fclose(maps);
    return g_string_free(list, FALSE);
}

/* All mappings of the process; under a tool, whose own come and go, the memfds only. */
static inline char *maps_now(void)
{
    char *all = maps_between(0, UINT64_MAX);
    if (!under_valgrind() && !under_sanitizer()) {
        return all;
    }
    GString *list = g_string_new(NULL);
    for (char *line = strtok(all, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, "/memfd:") != NULL) {
            g_string_append_printf(list, "%s\n", line);
        }
    }
    g_free(all);
    return g_string_free(list, FALSE);
}

static inline char *window_now(vhushmem_region *region)
{
    uint64_t window = (uint64_t)(uintptr_t)vhushmem_region_window(region);
    return maps_between(window, window + vhushmem_region_size(region));
}

/* Two snapshots are the same; frees both. */
#define same(before, after) same_at(__FILE__, __LINE__, before, after)

static inline void same_at(const char *file, int line, char *before, char *after)
{
    if (strcmp(before, after) != 0) {
        fail_at(file, line, "what was\n%sis now\n%s", before, after);
    }
    g_free(before);
    g_free(after);
}

/* One line of /proc/self/smaps about the range that holds an address, e.g. "VmFlags"; "" if there is none. Freed with g_free. */
static inline char *smaps_line(const void *address, const char *key)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    CHECK(smaps != NULL);
    char line[600];
    char *found = NULL;
    bool inside = false;
    while (found == NULL && fgets(line, sizeof(line), smaps) != NULL) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
            inside = (uint64_t)(uintptr_t)address >= start && (uint64_t)(uintptr_t)address < end;
        } else if (inside && strncmp(line, key, strlen(key)) == 0) {
            found = g_strdup(line);
        }
    }
    fclose(smaps);
    return found != NULL ? found : g_strdup("");
}

/* The kernel's flags of the range that holds an address, each between blanks. Freed with g_free. */
static inline char *vm_flags_at(const void *address)
{
    char *flags = smaps_line(address, "VmFlags:");
    if (flags[0] == 0) {
        skip("/proc/self/smaps has no VmFlags");
    }
    return flags;
}

/* "r--s" and the like: how the range that holds an address is mapped; "" if nothing is. Good until asked again. */
static inline const char *perms_at(const void *address)
{
    static __thread char perms[8];
    uint64_t from = (uint64_t)(uintptr_t)address;
    char *lines = maps_between(from, from + 1);
    perms[0] = 0;
    (void)sscanf(lines, "%*s %7s", perms);
    g_free(lines);
    return perms;
}

/* Whether a read of the byte would fault, found out without faulting. */
static inline bool readable(const void *address)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)address, 1};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

static inline bool writable(void *address)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {address, 1};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1 && process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 1;
}

/* ---- files ---- */

/* What is at an offset (a multiple of 8) of a file that `memfd_of` made. */
static inline uint64_t pattern(uint64_t seed, uint64_t offset) { return (seed + 1) << 40 | offset; }

static inline void fill(int fd, uint64_t bytes, uint64_t seed)
{
    CHECK(ftruncate(fd, (off_t)bytes) == 0);
    uint64_t words[512];
    for (uint64_t at = 0; at < bytes; at += sizeof(words)) {
        size_t n = bytes - at < sizeof(words) ? (size_t)(bytes - at) : sizeof(words);
        for (size_t i = 0; i < 512; i++) {
            words[i] = pattern(seed, at + i * 8);
        }
        CHECK(pwrite(fd, words, n, (off_t)at) == (ssize_t)n);
    }
}

/* A memfd of so many bytes, filled with the pattern of the seed. May be sealed. */
static inline int memfd_of(uint64_t bytes, uint64_t seed)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    fill(fd, bytes, seed);
    return fd;
}

/* The same file, open for reading only. */
static inline int read_only(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(again >= 0);
    return again;
}

/* The word at an offset of a region, read through its window as the guest would. */
static inline uint64_t word_at(vhushmem_region *region, uint64_t offset)
{
    return *(volatile uint64_t *)((char *)vhushmem_region_window(region) + offset);
}

/* The first and the last word of each page of a range show the file's pattern. `len` in whole pages. */
#define shows(region, offset, len, seed, fd_offset) shows_at(__FILE__, __LINE__, region, offset, len, seed, fd_offset)

static inline void shows_at(const char *file, int line, vhushmem_region *region, uint64_t offset, uint64_t len, uint64_t seed,
                            uint64_t fd_offset)
{
    uint64_t page = PAGE;
    for (uint64_t at = 0; at < len; at += page) {
        uint64_t ends[2] = {at, at + page - 8};
        for (int i = 0; i < 2; i++) {
            uint64_t seen = word_at(region, offset + ends[i]);
            if (seen != pattern(seed, fd_offset + ends[i])) {
                fail_at(file, line, "at 0x%" PRIx64 " of the region is 0x%" PRIx64 ", not 0x%" PRIx64, offset + ends[i], seen,
                        pattern(seed, fd_offset + ends[i]));
            }
        }
    }
}

/* A directory of the test's own. Removed by remove_directory, with what it contains. */
static inline char *new_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = g_strdup_printf("%s/vhushmem-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static inline void remove_directory(char *path)
{
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
    rmdir(path);
    g_free(path);
}

/* The process's resident memory. */
static inline long resident_kib(void)
{
    char *text = NULL;
    CHECK(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    long kib = strtol(strstr(text, "VmRSS:") + 6, NULL, 10);
    g_free(text);
    return kib;
}

#endif
