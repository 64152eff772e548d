/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: memory. Prints how many bytes became resident for each of 60,000 mappings whose pages no thread touches: with the
 * library, then without. The mappings are next to each other. `apart` is for 30,000 with holes between them, four in each 2
 * MiB: for the kernel each hole is one more mapping.
 */
#include "measure.h"

#include <vhushmem/vhushmem.h>

#define MAPPINGS 60000
#define WARM_UP 64
#define CLUSTER 4
#define CLUSTERS_APART (UINT64_C(2) << 20)

/* Exact, unlike the counters in /proc/self/statm. It does not count page tables. */
static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    unsigned long long kilobytes = 0;
    MUST(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "Rss: %llu kB", &kilobytes) != 1) {}
    fclose(file);
    MUST(kilobytes > 0);
    return kilobytes * 1024;
}

static uint64_t side_by_side(uint64_t slot) { return slot * (uint64_t)sysconf(_SC_PAGESIZE); }

static uint64_t apart(uint64_t slot)
{
    return slot / CLUSTER * CLUSTERS_APART + slot % CLUSTER * 2 * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void with_the_library(vhushmem_region *region, char *window, int file, uint64_t at, uint64_t page)
{
    (void)window;
    MUST(vhushmem_region_map(region, file, 0, at, page, 0, NULL) == 0);
}

static void without(vhushmem_region *region, char *window, int file, uint64_t at, uint64_t page)
{
    (void)region;
    MUST(mmap(window + at, page, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
}

static void measure(const char *name, void (*map)(vhushmem_region *, char *, int, uint64_t, uint64_t),
                    uint64_t (*place)(uint64_t), uint64_t mappings)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int file = file_of(page);
    vhushmem_device *device = vhushmem_device_new(NULL, NULL);
    vhushmem_region *region = vhushmem_region_new(device, 0, place(WARM_UP + mappings), NULL, NULL);
    MUST(region != NULL);
    char *window = vhushmem_region_window(region);
    resident_bytes(); /* the first call itself makes memory resident */
    for (uint64_t slot = 0; slot < WARM_UP; slot++) {
        map(region, window, file, place(slot), page);
    }
    uint64_t before = resident_bytes();
    for (uint64_t slot = WARM_UP; slot < WARM_UP + mappings; slot++) {
        map(region, window, file, place(slot), page);
    }
    printf("%s %.1f\n", name, (double)(resident_bytes() - before) / (double)mappings);
    vhushmem_device_unref(device);
    close(file);
}

int main(void)
{
    measure("floor", without, side_by_side, MAPPINGS);
    measure("ours", with_the_library, side_by_side, MAPPINGS);
    measure("apart", with_the_library, apart, MAPPINGS / 2);
    return 0;
}
