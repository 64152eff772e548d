/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * While a page of a mapping is being repaired, for a guest or for a thread, the mapping is unmapped. Another file is mapped
 * at the same range and from the same file offset. The new mapping shows its own file only, and is not broken.
 */
/* tsan: yes (several threads use one region) */
/* asan: scale 3 (without a tool, the race runs for its full time) */
#include "guard-rig.h"
#include "memory-rig.h"

#define PAGES 64

enum { GUEST_WRITES, GUEST_READS, THREAD_READS, WAYS };

static vhushmem_region *region;
static int first, second, way;
static uint64_t rounds, repairs;

/* Maps the first file, which has lost pages or cannot be written, then the second one. */
static void *mapper(void *user_data)
{
    (void)user_data;
    const char *window = vhushmem_region_window(region);
    uint64_t random = 1;
    while (race_goes_on()) {
        ok(vhushmem_region_map(region, first, 0, 0, PAGES * PAGE, 0, &error));
        if (way != GUEST_WRITES) {
            CHECK(ftruncate(first, 2 * (off_t)PAGE) == 0);
        }
        random = random * 6364136223846793005u + 1442695040888963407u;
        for (volatile uint64_t i = 0; i < (random >> 33 & 0xfff); i++) {}
        ok(vhushmem_region_unmap(region, 0, PAGES * PAGE, &error));
        ok(vhushmem_region_map(region, second, 0, 0, PAGES * PAGE, 0, &error));
        /* A guest's write to it makes pages private, as it should. They still have the file's bytes. */
        for (uint64_t page = 0; page < PAGES; page++) {
            uint8_t seen = *(const volatile uint8_t *)(window + page * PAGE + 5);
            if (seen != 0xbb) {
                FAIL("page %" PRIu64 " of the second file reads 0x%02x", page, seen);
            }
        }
        CHECK(!is_broken(region, 0));
        ok(vhushmem_region_unmap(region, 0, PAGES * PAGE, &error));
        if (way != GUEST_WRITES) {
            CHECK(ftruncate(first, PAGES * (off_t)PAGE) == 0);
        }
        count_up(&rounds);
    }
    return NULL;
}

static void *repairer(void *user_data)
{
    uint64_t random = (uint64_t)(uintptr_t)user_data;
    const char *window = vhushmem_region_window(region);
    while (race_goes_on()) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t page = 3 + (random >> 33) % (PAGES - 3);
        if (way == THREAD_READS) {
            (void)*(const volatile uint8_t *)(window + page * PAGE);
        } else {
            uint32_t access = way == GUEST_WRITES ? VHUSHMEM_ACCESS_WRITE : VHUSHMEM_ACCESS_READ;
            int result = vhushmem_resolve_guest_fault(region, page * PAGE, 8, access, NULL);
            CHECK(result == 0 || result == -ENOSPC);
        }
        count_up(&repairs);
    }
    return NULL;
}

static void facts(void)
{
    rig r;
    pthread_t threads[3];
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = VHUSHMEM_HOLES_ZERO};
    rig_open_plain(&r, 2 * PAGES * PAGE, NULL, &options);
    region = r.region;
    rounds = repairs = 0;
    first = memfd_of_bytes(PAGES, 0xaa);
    second = memfd_of_bytes(PAGES, 0xbb);
    CHECK(pthread_create(&threads[0], NULL, mapper, NULL) == 0);
    for (uintptr_t i = 1; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, repairer, (void *)i) == 0);
    }
    RACE(threads, 3, counted(&rounds) > 20 && counted(&repairs) > 20);
    close(first);
    close(second);
    rig_close(&r);
}

int main(void)
{
    guard_begin();
    races = 2;
    for (way = 0; way < WAYS; way++) {
        facts();
    }
    printf("note: %" PRIu64 " rounds and %" PRIu64 " repairs in the last race\n", rounds, repairs);
    return 0;
}
