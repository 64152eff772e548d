/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: translate ROUNDS CALLS. Measures vhushmem_region_translate at random offsets of a region with 60,000 live mappings:
 * with one reader alone, and with one and two readers while another thread maps and unmaps without a pause. Threads may share a
 * processor. So it prints the processor time of each reader for a call, how often a reader waited (voluntary context switches),
 * and the longest single call in which no other thread took the processor.
 */
#include "measure.h"

#include <pthread.h>
#include <sys/resource.h>

#include <vhushmem/vhushmem.h>

#define MAPPINGS 60000
#define COMING_AND_GOING 64
#define OFFSETS 65536
/* It does not ask the kernel about shorter calls: that would take most of the measured time. */
#define LONG_CALL_NS 1000

static vhushmem_region *region;
static uint64_t page;
static uint64_t offsets[OFFSETS];
static bool done;

typedef struct reader {
    uint64_t calls;
    double ns_per_call;
    uint64_t waits;
    uint64_t longest_ns;
} reader;

static void *map_and_unmap(void *user_data)
{
    int file = *(int *)user_data;
    for (uint64_t i = 0; !__atomic_load_n(&done, __ATOMIC_ACQUIRE); i++) {
        uint64_t at = (MAPPINGS + i % COMING_AND_GOING) * page;
        MUST(vhushmem_region_map(region, file, 0, at, page, 0, NULL) == 0);
        MUST(vhushmem_region_unmap(region, at, page, NULL) == 0);
    }
    return NULL;
}

static struct rusage usage_of_thread(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage;
}

static inline void translate(uint64_t i) { MUST(vhushmem_region_translate(region, offsets[i % OFFSETS], 8, false) != NULL); }

static void *read_for_a_while(void *user_data)
{
    reader *r = user_data;
    struct rusage before = usage_of_thread();
    uint64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < r->calls; i++) {
        translate(i);
    }
    r->ns_per_call = (double)(ns_of(CLOCK_THREAD_CPUTIME_ID) - began) / (double)r->calls;
    /* Once more, with a look at each call. */
    struct rusage last = usage_of_thread();
    for (uint64_t i = 0; i < r->calls / 4; i++) {
        uint64_t start = now_ns();
        translate(i);
        uint64_t took = now_ns() - start;
        if (took > LONG_CALL_NS) {
            struct rusage now = usage_of_thread();
            if (now.ru_nivcsw == last.ru_nivcsw && took > r->longest_ns) {
                r->longest_ns = took;
            }
            last = now;
        }
    }
    r->waits = (uint64_t)(usage_of_thread().ru_nvcsw - before.ru_nvcsw);
    return NULL;
}

static void one_round(const char *name, int file, int readers, uint64_t calls, bool with_mapper)
{
    pthread_t mapper, threads[2];
    reader of[2] = {{.calls = calls}, {.calls = calls}};
    __atomic_store_n(&done, !with_mapper, __ATOMIC_RELEASE);
    MUST(pthread_create(&mapper, NULL, map_and_unmap, &file) == 0);
    for (int i = 0; i < readers; i++) {
        MUST(pthread_create(&threads[i], NULL, read_for_a_while, &of[i]) == 0);
    }
    for (int i = 0; i < readers; i++) {
        pthread_join(threads[i], NULL);
        printf("%s-ns %.2f\n", name, of[i].ns_per_call);
        printf("%s-waits %llu\n", name, (unsigned long long)of[i].waits);
        printf("%s-longest %llu\n", name, (unsigned long long)of[i].longest_ns);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    pthread_join(mapper, NULL);
}

int main(int argc, char **argv)
{
    MUST(argc == 3);
    uint64_t rounds = number_of(argv[1]), calls = number_of(argv[2]), random = 1;
    page = (uint64_t)sysconf(_SC_PAGESIZE);
    int file = file_of(page);
    vhushmem_device *device = vhushmem_device_new(NULL, NULL);
    region = vhushmem_region_new(device, 0, (MAPPINGS + COMING_AND_GOING) * page, NULL, NULL);
    MUST(region != NULL);
    for (uint64_t slot = 0; slot < MAPPINGS; slot++) {
        MUST(vhushmem_region_map(region, file, 0, slot * page, page, 0, NULL) == 0);
    }
    for (int i = 0; i < OFFSETS; i++) {
        offsets[i] = next_random(&random, MAPPINGS) * page + next_random(&random, page / 8) * 8;
    }
    for (uint64_t round = 0; round < rounds; round++) {
        one_round("alone", file, 1, calls, false);
        one_round("one", file, 1, calls, true);
        one_round("two", file, 2, calls, true);
    }
    vhushmem_device_unref(device);
    close(file);
    return 0;
}
