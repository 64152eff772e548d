/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end truncates a hugetlb file while threads read it through the window. All threads live and get zeros, the mapping
 * is broken, the remaining pages are still the file's, and the window is whole.
 */
/* tsan: yes (threads read what is truncated) */
#include "guard-rig.h"
#include "huge-pages.h"

static rig r;
static uint64_t huge;
static int stop, turns[2];

static uint64_t at(uint64_t offset)
{
    const char *window = vhushmem_region_window(r.region);
    return __atomic_load_n((const uint64_t *)(window + offset), __ATOMIC_RELAXED);
}

/* Each thread reads all of the mapping, and never just the start of a huge page. */
static void *reader(void *user_data)
{
    int *turn = user_data;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        for (uint64_t offset = 0; offset < 3 * huge; offset += huge / 4) {
            uint64_t seen = at(offset + 3 * PAGE);
            CHECK(seen == 0 || seen == offset + 1);
        }
        __atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void both_turn_twice(void)
{
    for (int i = 0; i < 2; i++) {
        int before = __atomic_load_n(&turns[i], __ATOMIC_ACQUIRE);
        STEP_UNTIL(__atomic_load_n(&turns[i], __ATOMIC_ACQUIRE) >= before + 2, usleep(200));
    }
}

static int huge_file(uint64_t pages)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(pages * huge)) == 0);
    char *memory = mmap(NULL, pages * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    for (uint64_t offset = 0; offset < pages * huge; offset += huge / 4) {
        *(uint64_t *)(memory + offset + 3 * PAGE) = offset + 1;
    }
    munmap(memory, pages * huge);
    return fd;
}

static void truncated_to(uint64_t left, uint64_t flags)
{
    pthread_t threads[2];
    int fd = huge_file(3), other = memfd_of(PAGE, 2), told = r.events[VHUSHMEM_EVENT_BROKEN];
    char *maps = window_now(r.region);
    ok(rig_map(&r, fd, 0, 0, 3 * huge, flags));
    ok(rig_map(&r, other, 0, 3 * huge, PAGE, 0));
    EQ(at(2 * huge + 3 * PAGE), 2 * huge + 1);
    __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, reader, &turns[i]) == 0);
    }
    both_turn_twice();
    CHECK(ftruncate(fd, (off_t)(left * huge)) == 0);
    both_turn_twice();
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(is_broken(r.region, 0) && !is_broken(r.region, 3 * huge));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == told + 1);
    for (uint64_t offset = 0; offset < 3 * huge; offset += huge / 4) {
        EQ(at(offset + 3 * PAGE), offset < left * huge ? offset + 1 : 0);
    }
    shows(r.region, 3 * huge, PAGE, 2, 0);
    ok(rig_unmap(&r, 0, 3 * huge));
    ok(rig_unmap(&r, 3 * huge, PAGE));
    same(maps, window_now(r.region));
    close(fd);
    close(other);
}

int main(void)
{
    huge = movable_huge_page_or_skip(3, NULL);
    rig_open(&r, 8 * huge, NULL);
    guard_begin();
    for (uint64_t left = 0; left < 3; left++) {
        truncated_to(left, 0);
        truncated_to(left, VHOST_USER_FLAG_MAP_RW);
    }
    printf("note: %d signals\n", sigbus_count);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
