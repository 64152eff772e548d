/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_MEMORY_RIG_H
#define VHUSHMEM_TESTS_MEMORY_RIG_H

/*
 * For the tests of a region's memory: the length of races between threads, and the counts of the
 * kernel and of the library.
 */

#include "rig.h"

#include <sched.h>

/* ---- threads that race ---- */

/* A test with several races sets this. It divides the length of each. */
static int races __attribute__((unused)) = 1;

/*
 * A race lasts 3 seconds, and 30 with --long. It looks for a fault during that time. No result
 * depends on it.
 */
static inline int race_ms(void)
{
    return steps((getenv("VHUSHMEM_TEST_LONG") != NULL ? 30000 : 3000) / races);
}

/* Set when the threads of a race are to end. */
static int race_is_over __attribute__((unused));

static inline bool race_goes_on(void) { return !__atomic_load_n(&race_is_over, __ATOMIC_ACQUIRE); }

static inline void count_up(uint64_t *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED); }

static inline uint64_t counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Lets the threads race for that long, and then until `has_run` is true. */
#define RACE(threads, count, has_run)                                                              \
    do {                                                                                           \
        int64_t enough_ = now_ms() + race_ms();                                                    \
        STEP_UNTIL(now_ms() >= enough_, usleep(1000));                                             \
        STEP_UNTIL(has_run, usleep(1000));                                                         \
        __atomic_store_n(&race_is_over, 1, __ATOMIC_RELEASE);                                      \
        for (int i_ = 0; i_ < (count); i_++) {                                                     \
            CHECK(pthread_join((threads)[i_], NULL) == 0);                                         \
        }                                                                                          \
        __atomic_store_n(&race_is_over, 0, __ATOMIC_RELEASE);                                      \
    } while (0)

/* ---- separate mappings ---- */

/*
 * How many mappings the kernel lists between two addresses. This allocates nothing, because
 * tests call it at the limit.
 */
static inline int ranges_between(uint64_t from, uint64_t to)
{
    static char bytes[1 << 16];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), count = 0;
    CHECK(fd >= 0);
    uint64_t start = 0;
    bool in_start = true;
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n') {
                count += start >= from && start < to;
                start = 0;
                in_start = true;
            } else if (bytes[i] == '-') {
                in_start = false;
            } else if (in_start) {
                start =
                    start * 16 + (uint64_t)(bytes[i] <= '9' ? bytes[i] - '0' : bytes[i] - 'a' + 10);
            }
        }
    }
    close(fd);
    return count;
}

static inline int ranges_of_process(void) { return ranges_between(0, UINT64_MAX); }

static inline int ranges_of_window(vhushmem_region *region)
{
    uint64_t window = (uint64_t)(uintptr_t)vhushmem_region_window(region);
    return ranges_between(window, window + vhushmem_region_size(region));
}

/* How many separate mappings the library counts, and its limit. */
static inline long budget_figure(vhushmem_device *device, const char *name)
{
    char *status = some(vhushmem_device_status_json(device, 0));
    char *process = some(strstr(status, "\"process\""));
    char *key = g_strdup_printf("\"%s\":", name);
    char *at = some(strstr(process, key));
    long figure = strtol(at + strlen(key), NULL, 10);
    g_free(key);
    g_free(status);
    return figure;
}

static inline long max_map_count_or_skip(void)
{
    long limit = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file == NULL || fscanf(file, "%ld", &limit) != 1) {
        skip("vm.max_map_count cannot be read");
    }
    fclose(file);
    if (limit > 300000) {
        skip("vm.max_map_count is too high for this test");
    }
    return limit;
}

/*
 * Mappings of the program itself: `count` pages, no two of which can be merged. Freed with
 * munmap, 2 * count pages.
 */
static inline char *own_mappings(uint64_t count)
{
    char *own =
        mmap(NULL, 2 * count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(own != MAP_FAILED);
    for (uint64_t i = 0; i < count; i++) {
        CHECK(mprotect(own + 2 * i * PAGE, PAGE, PROT_READ) == 0);
    }
    return own;
}

static inline void *nothing(void *user_data) { return user_data; }

/*
 * The program can make a sixteenth of the limit more, less what tools and the measurement itself
 * may take.
 */
static inline void is_left_room(vhushmem_region *region, uint64_t limit)
{
    uint64_t pages = limit / 16 - limit / 64;
    char *own =
        mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(own != MAP_FAILED);
    for (uint64_t i = 0; i < pages; i += 2) {
        if (mprotect(own + i * PAGE, PAGE, PROT_READ) != 0)
            FAIL("at %lu of %lu; process %d, window %d", i, pages, ranges_of_process(),
                 ranges_of_window(region));
    }
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(munmap(own, pages * PAGE) == 0);
}

/* ---- memory ---- */

/* A figure of /proc/self/status in KiB, e.g. "VmLck:". */
static inline long memory_kib(const char *name)
{
    char *text = NULL;
    CHECK(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    char *line = strstr(text, name);
    CHECK(line != NULL);
    long kib = strtol(line + strlen(name), NULL, 10);
    g_free(text);
    return kib;
}

/* ---- the bytes of one page ---- */

static inline bool page_is(const void *bytes, uint8_t value)
{
    const uint8_t *b = bytes;
    return b[0] == value && memcmp(b, b + 1, PAGE - 1) == 0;
}

/* A memfd of this many pages. Each of its bytes is `value`. */
static inline int memfd_of_bytes(uint64_t pages, uint8_t value)
{
    int fd = memfd_create("bytes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    char *bytes = g_malloc(PAGE);
    memset(bytes, value, PAGE);
    for (uint64_t i = 0; i < pages; i++) {
        CHECK(pwrite(fd, bytes, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
    }
    g_free(bytes);
    return fd;
}

#endif
