/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: many-go MAPPINGS. How long others wait while so many mappings go: the longest time of each kind, in nanoseconds.
 *
 * reset, reset-call  the longest turn of a loop while a front-end on it resets a device; and the call of
 *                    vhushmem_frontend_reset alone (both in processor time: the thread that runs the loop does all of it)
 * end                the longest turn of the same loop after the back-end has gone
 * free               the call of vhushmem_frontend_free
 * unmap-all          a map and an unmap in another device, one after the other in another thread, while
 *                    vhushmem_region_unmap_all runs
 * unmap-floor        the same while one bare mmap replaces as many bare mappings
 * unmap-idle         the same while nothing else runs
 * call, call-floor   the longest system call of unmap-all and of unmap-floor, in processor time, so it does not depend on how
 *                    busy the machine is: no other thread of the process can map or unmap meanwhile
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>

#include "front-ends.h"

#include <stdatomic.h>

#define WARM_UP 6000

static atomic_bool stop, works;
static atomic_ulong rounds;
static vhushmem_region *other;
static int file;
static uint64_t page;

static void *map_and_unmap(void *longest)
{
    uint64_t *most = longest;
    while (!atomic_load(&stop)) {
        uint64_t began = now_ns();
        MUST(vhushmem_region_map(other, file, 0, 0, page, 0, NULL) == 0);
        MUST(vhushmem_region_unmap(other, 0, page, NULL) == 0);
        uint64_t took = now_ns() - began;
        if (atomic_load(&works)) {
            *most = took > *most ? took : *most;
        }
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static __thread bool is_timed;
static uint64_t longest_call;

/* The library's calls come to this function. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (real == NULL) {
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    }
    if (!is_timed) {
        return real(address, length, protection, flags, fd, offset);
    }
    uint64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);
    void *made = real(address, length, protection, flags, fd, offset);
    uint64_t took = ns_of(CLOCK_THREAD_CPUTIME_ID) - began;
    longest_call = took > longest_call ? took : longest_call;
    return made;
}

static void sleep_a_while(void *unused)
{
    struct timespec pause = {.tv_nsec = 100000000};
    (void)unused;
    nanosleep(&pause, NULL);
}

static void unmap_all(void *region) { MUST(vhushmem_region_unmap_all(region) > 0); }

struct bare {
    char *window;
    uint64_t size;
};

static void unmap_bare(void *user_data)
{
    struct bare *b = user_data;
    MUST(mmap(b->window, b->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == b->window);
}

static void beside(const char *name, void (*work)(void *), void *user_data)
{
    pthread_t thread;
    uint64_t longest = 0;
    atomic_store(&stop, false);
    atomic_store(&rounds, 0);
    MUST(pthread_create(&thread, NULL, map_and_unmap, &longest) == 0);
    /*
     * Its first map may find that the process has far more mappings than at the last look, and counts them. So does its region after its first
     * 8,192 changes.
     */
    while (atomic_load(&rounds) < WARM_UP) {
        sleep_a_while(NULL);
    }
    longest_call = 0;
    is_timed = true;
    atomic_store(&works, true);
    work(user_data);
    is_timed = false;
    /* The one that waits until now counts. */
    for (unsigned long before = atomic_load(&rounds); atomic_load(&rounds) == before;) {
        sched_yield();
    }
    atomic_store(&works, false);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    printf("%s %llu\n", name, (unsigned long long)longest);
}

/* Maps every second page, so that each is also a separate mapping for the kernel. */
static void fill(vhushmem_region *region, uint64_t mappings)
{
    for (uint64_t i = 0; i < mappings; i++) {
        MUST(vhushmem_region_map(region, file, i % 2 * page, i * page, page, 0, NULL) == 0);
    }
}

/* The longest turn of the loop until nothing is mapped. */
static uint64_t longest_turn(GMainContext *context, front_end *f)
{
    uint64_t longest = 0;
    while (vhushmem_region_mapping_count(f->region) > 0) {
        uint64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);
        g_main_context_iteration(context, FALSE);
        uint64_t took = ns_of(CLOCK_THREAD_CPUTIME_ID) - began;
        longest = took > longest ? took : longest;
    }
    return longest;
}

static void reset_and_end(uint64_t mappings)
{
    GMainContext *context = g_main_context_new();
    front_end f = open_front_end(context, 1, mappings);
    fill(f.region, mappings);
    uint64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);
    MUST(vhushmem_frontend_reset(f.frontend, NULL) == 0);
    uint64_t call = ns_of(CLOCK_THREAD_CPUTIME_ID) - began, turn = longest_turn(context, &f);
    printf("reset-call %llu\nreset %llu\n", (unsigned long long)call, (unsigned long long)(turn > call ? turn : call));
    fill(f.region, mappings);
    close(f.main);
    printf("end %llu\n", (unsigned long long)longest_turn(context, &f));
    vhushmem_frontend_free(f.frontend);

    f = open_front_end(context, 1, mappings);
    fill(f.region, mappings);
    began = ns_of(CLOCK_THREAD_CPUTIME_ID);
    vhushmem_frontend_free(f.frontend);
    printf("free %llu\n", (unsigned long long)(ns_of(CLOCK_THREAD_CPUTIME_ID) - began));
    sleep_a_while(NULL);
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    uint64_t mappings = number_of(argv[1]);
    MUST(mappings > 0);
    page = (uint64_t)sysconf(_SC_PAGESIZE);
    file = file_of(2 * page);
    vhushmem_device *device = vhushmem_device_new(NULL, NULL), *device_of_other = vhushmem_device_new(NULL, NULL);
    vhushmem_region *region = vhushmem_region_new(device, 0, mappings * page, NULL, NULL);
    other = vhushmem_region_new(device_of_other, 0, page, NULL, NULL);
    MUST(region != NULL && other != NULL);
    reset_and_end(mappings / 2);
    beside("unmap-idle", sleep_a_while, NULL);
    fill(region, mappings);
    beside("unmap-all", unmap_all, region);
    printf("call %llu\n", (unsigned long long)longest_call);
    struct bare b = {.size = mappings * page};
    b.window = mmap(NULL, b.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(b.window != MAP_FAILED);
    for (uint64_t i = 0; i < mappings; i++) {
        MUST(mmap(b.window + i * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file, (off_t)(i % 2 * page)) != MAP_FAILED);
    }
    beside("unmap-floor", unmap_bare, &b);
    printf("call-floor %llu\n", (unsigned long long)longest_call);
    return 0;
}
