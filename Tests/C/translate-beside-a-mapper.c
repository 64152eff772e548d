/* SPDX-License-Identifier: BSD-3-Clause */
/* While one thread maps and unmaps, others translate. A mapping that stays is always found. One that comes and goes is found
   right or not at all. */
/* tsan: yes (several threads use one region) */
#include "harness.h"

/*
 * The library has one way to look at 2 MiB with many mappings, and another at 2 MiB with up to three. So there are 2 MiB
 * with many, 2 MiB with up to three, one of which stays, and 2 MiB with sometimes none and sometimes up to five.
 */
#define PAGES_OF_2_MIB (0x200000 / PAGE)
#define MANY PAGES_OF_2_MIB
#define FEW 3
#define CHANGING 5

static vhushmem_region *region;
static int done;

typedef struct place {
    uint64_t number, at, len;
    bool stays; /* mapped for good; the others come and go */
} place;

static place place_of(uint64_t number)
{
    uint64_t page = PAGE;
    if (number < MANY) {
        return (place){number, number * page, page, number % 4 == 0};
    }
    if (number < MANY + FEW) {
        return (place){number, 0x200000 + (number - MANY) * 3 * page, 2 * page, number == MANY};
    }
    return (place){number, 0x400000 + (number - MANY - FEW) * 2 * page, 2 * page, false};
}

/* Each kind as often as the others. */
static place any_place(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t random = *state >> 33;
    switch (random % 3) {
    case 0:
        return place_of(random / 3 % MANY);
    case 1:
        return place_of(MANY + random / 3 % FEW);
    default:
        return place_of(MANY + FEW + random / 3 % CHANGING);
    }
}

static void *mapper(void *user_data)
{
    int fd = *(int *)user_data;
    uint64_t state = 1;
    bool *live = calloc(MANY + FEW + CHANGING, sizeof(bool));
    for (int i = 0; i < steps(40000); i++) {
        place p = any_place(&state);
        if (p.stays) {
            continue;
        }
        if (live[p.number]) {
            ok(vhushmem_region_unmap(region, p.at, p.len, &error));
        } else {
            ok(vhushmem_region_map(region, fd, p.at, p.at, p.len, 0, &error));
        }
        live[p.number] = !live[p.number];
    }
    free(live);
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *translator(void *user_data)
{
    uint64_t state = (uint64_t)(uintptr_t)user_data;
    char *window = vhushmem_region_window(region);
    do {
        for (int i = 0; i < 1000; i++) {
            place p = any_place(&state);
            char *seen = vhushmem_region_translate(region, p.at + 8, p.len - 8, false);
            CHECK(seen == window + p.at + 8 || (seen == NULL && !p.stays));
            if (p.stays) {
                EQ(*(volatile uint64_t *)seen, pattern(1, p.at + 8));
            }
            CHECK(vhushmem_region_translate(region, p.at, 8, true) == NULL);
            CHECK(vhushmem_region_translate(region, p.at, p.len + 1, false) == NULL);
        }
    } while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE));
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    region = some(vhushmem_region_new(device, 0, 0x600000, NULL, &error));
    int fd = memfd_of(0x600000, 1);
    for (uint64_t number = 0; number < MANY + FEW + CHANGING; number++) {
        place p = place_of(number);
        if (p.stays) {
            ok(vhushmem_region_map(region, fd, p.at, p.at, p.len, 0, &error));
        }
    }
    CHECK(pthread_create(&threads[0], NULL, mapper, &fd) == 0);
    for (uintptr_t i = 1; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, translator, (void *)i) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    close(fd);
    vhushmem_device_unref(device);
    return 0;
}
