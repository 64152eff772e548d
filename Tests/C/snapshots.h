/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_SNAPSHOTS_H
#define VHUSHMEM_TESTS_SNAPSHOTS_H

/* The state of the process at a moment: open descriptors, mappings, memory. */

#include "checks.h"

/*
 * Whether the library has a thread. It has one while it closes what a peer sent. That is the
 * only thread that takes no signals. `runs`: one of them runs, or waits only for a processor.
 * valgrind lets SIGSEGV through while a thread runs or waits for its turn, so under valgrind a
 * thread of the test that runs counts as well.
 */
static inline bool is_closing_now(bool *runs)
{
    bool found = false;
    *runs = false;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], line[300], state = 0;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "re");
        while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
            uint64_t blocked, few = UINT64_C(1) << (SIGURG - 1);
            few |= under_valgrind() ? 0 : UINT64_C(1) << (SIGSEGV - 1);
            (void)sscanf(line, "State: %c", &state);
            if (sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1 && (blocked & few) == few) {
                found = true;
                *runs |= state == 'R';
            }
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(dir);
    return found;
}

static inline bool is_closing(void)
{
    bool runs;
    return is_closing_now(&runs);
}

/* Every open descriptor and what it is. Freed by `same`. */
static inline char *fds_at_once(void)
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

/*
 * Waits for all pending closes. If one waits for another process, which may be for ever, this stops
 * waiting for it at some point.
 */
static inline void wait_for_closes(void)
{
    bool runs;
    for (int i = 0; i < 200 && is_closing_now(&runs); i += !runs) {
        usleep(10000);
    }
}

/* The open descriptors after all pending closes. */
static inline char *fds_now(void)
{
    wait_for_closes();
    return fds_at_once();
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
 * The mappings between two addresses. Neighbours that the kernel may or may not have merged
 * count as one. Freed by `same`. Up to UINT64_MAX, the heap, the stack and the kernel's own
 * mappings are left out.
 */
static inline char *maps_between(uint64_t from, uint64_t to)
{
    wait_for_closes(); /* threads that close have stacks, and unmap what a peer gave */
    GString *list = g_string_new(NULL);
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    char line[600], last_perms[8] = "", last_name[400] = "";
    uint64_t top = (uint64_t)(uintptr_t)sbrk(0), first = 0, last_end = 0, last_offset = 0;
    bool pending = false;
    for (;;) {
        uint64_t start = 0, end = 0, offset = 0;
        char perms[8] = "", name[400] = "";
        bool more = fgets(line, sizeof(line), maps) != NULL;
        if (more) {
            int at = 0;
            CHECK(sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s%n", &start, &end,
                         perms, &offset, &at) == 4);
            snprintf(name, sizeof(name), "%s", line + at + strspn(line + at, " "));
            name[strcspn(name, "\n")] = 0;
            /* once for the process: the library signals eventfds with it */
            bool is_kept = strstr(name, "[aio]") != NULL;
            /* an emulator of one process gives the heap no name */
            bool is_aside = name[0] == '[' || (name[0] == 0 && start < top && end >= top);
            if (end <= from || start >= to || (is_aside && to == UINT64_MAX) || is_kept) {
                continue;
            }
            if (name[0] == '[') {
                /* the kernel calls a mapping behind the moved end of the heap "[heap]" too */
                name[0] = 0;
            }
            if (pending && start == last_end && strcmp(perms, last_perms) == 0 &&
                strcmp(name, last_name) == 0 && (name[0] == 0 || offset == last_offset)) {
                last_end = end;
                last_offset = offset + (end - start);
                continue;
            }
        }
        if (pending) {
            g_string_append_printf(
                list, "%" PRIx64 "-%" PRIx64 " %s %" PRIx64 " %s\n", first, last_end, last_perms,
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

static inline void *meet(void *barrier)
{
    pthread_barrier_wait(barrier);
    return NULL;
}

/*
 * The C library keeps the stack of a thread that has ended for the next one. So the threads in
 * which the library closes what peers sent find one, whenever they start.
 */
static inline void warm_stacks_up(void)
{
    enum { STACKS = 8 };
    static bool is_warm;
    pthread_attr_t attributes;
    pthread_t threads[STACKS];
    pthread_barrier_t barrier;
    if (is_warm) {
        return;
    }
    is_warm = true;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    pthread_barrier_init(&barrier, NULL, STACKS);
    for (int i = 0; i < STACKS; i++) {
        CHECK(pthread_create(&threads[i], &attributes, meet, &barrier) == 0);
    }
    for (int i = 0; i < STACKS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    pthread_barrier_destroy(&barrier);
    pthread_attr_destroy(&attributes);
}

/* All mappings of the process. A tool's own mappings come and go, so under a tool these are the
   memfds only. */
static inline char *maps_now(void)
{
    /* At the first warning of a process, GLib loads tables of character sets, which stay. */
    g_free(g_convert("", 0, "ASCII", "UTF-8", NULL, NULL, NULL));
    warm_stacks_up();
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

/*
 * One line of /proc/self/smaps about the range that holds an address, e.g. "VmFlags"; "" if
 * there is none. Freed with g_free.
 */
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

/*
 * "r--s" and the like: how the range that holds an address is mapped; "" if nothing is. Valid
 * until the next call.
 */
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

/* Whether a read of the byte would fault, without faulting. */
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
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1 &&
           process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 1;
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
