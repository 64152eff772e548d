/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Four threads map, unmap, translate, look and undo everything in one device, in any order, while its back-end maps too and the
 * loop's thread resets. Nothing races, a result is right or says that the mapping is gone, and at the end the numbers agree.
 * This is a test for ThreadSanitizer above all.
 */
/* tsan: yes (four threads use one device) */
#include "random.h"
#include "rig.h"

#define THREADS 4
#define PAGES 64

static vhushmem_device *device;
static vhushmem_region *region;
static int file, running = THREADS;
static uint64_t done[6];

static void look(uint64_t *state)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    uint64_t from = random_below(state, PAGES) * PAGE;
    int found = vhushmem_region_next_mapping(region, from, &info);
    CHECK(found == -ENOENT || (found == 0 && info.shm_offset + info.len > from && info.shmid == 0));
    if (found == 0) {
        vhushmem_mapping *mapping = vhushmem_region_find_mapping(region, info.shm_offset, info.len);
        vhushmem_mapping_unref(mapping);
    }
    CHECK(vhushmem_region_mapping_count(region) <= PAGES);
    CHECK(vhushmem_device_mapped_bytes(device) <= PAGES * PAGE);
    CHECK(vhushmem_device_find_region(device, 0) == region);
    EQ(vhushmem_device_region_ids(device, NULL, 0), 1);
    char *status = vhushmem_device_status_json(device, 2);
    CHECK(status != NULL && strstr(status, "\"regions\":[{\"shmid\":0") != NULL);
    g_free(status);
}

/* The word is the file's, or the mapping was undone meanwhile. The test may not follow the address here. */
static void translate(uint64_t at)
{
    uint64_t word = 0;
    char *seen = vhushmem_region_translate(region, at, 8, false);
    CHECK(seen == NULL || seen == (char *)vhushmem_region_window(region) + at);
    int read = vhushmem_region_read(region, at, &word, sizeof(word), NULL);
    CHECK(read == -ENOENT || (read == 0 && word == pattern(1, at)));
}

static void *work(void *user_data)
{
    uint64_t page = PAGE, state = (uint64_t)(uintptr_t)user_data;
    for (int i = 0; i < many_steps(4000); i++) {
        uint64_t at = random_below(&state, PAGES) * page;
        int result;
        unsigned what = (unsigned)random_below(&state, 40);
        what = what == 0 ? 5 : what % 5;
        switch (what) {
        case 0:
        case 1:
            result = vhushmem_region_map(region, file, at, at, page, random_below(&state, 2), NULL);
            CHECK(result == 0 || result == -EEXIST);
            break;
        case 2:
            result = vhushmem_region_unmap(region, at, page, NULL);
            CHECK(result == 0 || result == -ENOENT);
            break;
        case 3:
            translate(at);
            break;
        case 4:
            look(&state);
            break;
        default:
            CHECK(vhushmem_device_unmap_all(device) >= 0);
        }
        __atomic_fetch_add(&done[what], 1, __ATOMIC_RELAXED);
    }
    __atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The back-end asks for no answers, so that it need not read any. */
static void *flood(void *user_data)
{
    rig *r = user_data;
    uint64_t page = PAGE, state = 99;
    while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) > 0) {
        uint64_t at = random_below(&state, PAGES) * page;
        VhostUserMMap m = mmap_of(0, at, at, page, 0);
        bool map = random_below(&state, 2) == 0;
        if (try_send_message(r->channel, map ? MAP : UNMAP, 0x1, &m, sizeof(m), &file, map ? 1 : 0) < 0) {
            break;
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS + 1];
    rig r;
    uint64_t state = random_seed(), resets = 0;
    file = memfd_of(PAGES * PAGE, 1);
    rig_open(&r, PAGES * PAGE, NULL);
    device = r.device;
    region = r.region;
    for (int i = 0; i < THREADS; i++) {
        uintptr_t seed = (uintptr_t)random_next(&state);
        CHECK(pthread_create(&threads[i], NULL, work, (void *)seed) == 0);
    }
    CHECK(pthread_create(&threads[THREADS], NULL, flood, &r) == 0);
    do {
        if (wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), 10)) {
            ok(vhushmem_frontend_dispatch(r.frontend));
        }
        if (resets == 0 || random_below(&state, 3) == 0) {
            int result = vhushmem_frontend_reset(r.frontend, NULL);
            CHECK(result == 0 || result == -EALREADY);
            resets += result == 0;
        }
    } while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) > 0);
    /* It may be waiting for room on the channel. */
    shutdown(r.channel, SHUT_RDWR);
    for (int i = 0; i <= THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    EQ(vhushmem_device_mapping_count(device), 0);
    EQ(vhushmem_device_mapped_bytes(device), 0);
    EQ(vhushmem_region_next_mapping(region, 0, &(vhushmem_mapping_info){.struct_size = sizeof(vhushmem_mapping_info)}),
       -ENOENT);
    for (unsigned what = 1; what < 6; what++) {
        CHECK(done[what] > 0);
    }
    CHECK(resets > 0);
    printf("note: resets %" PRIu64 ", served %d\n", resets, r.events[VHUSHMEM_EVENT_MAP] + r.events[VHUSHMEM_EVENT_UNMAP]);
    rig_close(&r);
    close(file);
    return 0;
}
