/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end truncates files while threads read and write them through the window. All threads live and get zeros, the
 * mappings are broken, and the program is told once of each. The rest of the window is unchanged, and mapping again works.
 */
/* tsan: yes (threads read and write what is truncated) */
#include "guard-rig.h"

#define PAGES 64

static rig r;
static int stop, turns[4];

static void *reader(void *user_data)
{
    int *turn = user_data;
    const char *window = vhushmem_region_window(r.region);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        for (uint64_t i = 0; i < PAGES; i++) {
            uint64_t seen = __atomic_load_n((const uint64_t *)(window + i * PAGE + 8), __ATOMIC_RELAXED);
            CHECK(seen == 0 || seen == pattern(1, i * PAGE + 8));
        }
        __atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *writer(void *user_data)
{
    int *turn = user_data;
    char *window = vhushmem_region_window(r.region);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        for (uint64_t i = PAGES; i < 2 * PAGES; i++) {
            __atomic_store_n((uint64_t *)(window + i * PAGE + 16), i, __ATOMIC_RELAXED);
        }
        __atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void all_turn_twice(void)
{
    for (int i = 0; i < 4; i++) {
        int before = __atomic_load_n(&turns[i], __ATOMIC_ACQUIRE);
        STEP_UNTIL(__atomic_load_n(&turns[i], __ATOMIC_ACQUIRE) >= before + 2, usleep(200));
    }
}

int main(void)
{
    uint64_t page = PAGE, len = PAGES * page;
    pthread_t threads[4];
    rig_open(&r, 4 * len, NULL);
    guard_begin();
    int read = memfd_of(len, 1), written = memfd_of(len, 2), other = memfd_of(len, 3);
    ok(rig_map(&r, read, 0, 0, len, 0));
    ok(rig_map(&r, written, 0, len, len, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(&r, other, 0, 2 * len, len, 0));
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, i < 2 ? reader : writer, &turns[i]) == 0);
    }
    all_turn_twice();
    CHECK(ftruncate(read, 0) == 0 && ftruncate(written, (off_t)(3 * page)) == 0);
    all_turn_twice();

    /* Told once of each. */
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == 2);
    EQ(r.last.shmid, 0);
    EQ(r.last.len, len);
    EQ(r.last.result, -EIO);
    char *bytes = g_strdup_printf("0x%" PRIx64 " bytes", len);
    CHECK(strstr(r.said, bytes) != NULL);
    g_free(bytes);
    CHECK(is_broken(r.region, 0) && is_broken(r.region, len) && !is_broken(r.region, 2 * len));
    shows(r.region, 2 * len, len, 3, 0);
    EQ(word_at(r.region, 0), 0);
    char *status = some(vhushmem_device_status_json(r.device, 10));
    CHECK(strstr(status, "\"broken\":true") != NULL && strstr(status, "\"broken\":false") != NULL);
    g_free(status);
    uint64_t word;
    CHECK(pread(written, &word, 8, 16) == 8 && word == PAGES); /* the part that the file still has is the file's */
    all_turn_twice();
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_BROKEN], 2);

    /* A whole file can be mapped again in the same place, and is not broken. */
    ok(rig_unmap(&r, 0, len));
    ok(rig_unmap(&r, len, len));
    ok(rig_map(&r, other, 0, len, len, 0));
    shows(r.region, len, len, 3, 0);
    CHECK(!is_broken(r.region, len));
    fill(read, len, 1);
    ok(rig_map(&r, read, 0, 0, len, 0));
    shows(r.region, 0, len, 1, 0);

    /* It can be lost again, and the program is told again. */
    CHECK(ftruncate(read, 0) == 0);
    EQ(word_at(r.region, 5 * page), 0);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_BROKEN] == 3);
    printf("note: %d signals\n", sigbus_count);
    rig_still_works(&r);
    rig_close(&r);
    close(read);
    close(written);
    close(other);
    return 0;
}
