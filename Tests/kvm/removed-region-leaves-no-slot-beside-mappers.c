/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region with a slot for each mapping is placed and removed again and again while two threads map and unmap. When
 * vhushmem_kvm_remove or vhushmem_kvm_free has returned, the VM has no slot of it, so the guest cannot see what comes to
 * those addresses later.
 */
#include "slots.h"

#define PLACES 8

static slots_rig s;
static int file;
static uint64_t maps, places;

static void *mapper(void *user_data)
{
    unsigned random = (unsigned)(uintptr_t)user_data;
    while (race_goes_on()) {
        uint64_t at = (uint64_t)rand_r(&random) % PLACES * 2 * PAGE;
        int result = vhushmem_region_map(s.rig.region, file, 0, at, PAGE, VHOST_USER_FLAG_MAP_RW, NULL);
        CHECK(result == 0 || result == -EEXIST);
        at = (uint64_t)rand_r(&random) % PLACES * 2 * PAGE;
        result = vhushmem_region_unmap(s.rig.region, at, PAGE, NULL);
        CHECK(result == 0 || result == -ENOENT);
        count_up(&maps);
    }
    return NULL;
}

static void *placer(void *user_data)
{
    bool frees = user_data != NULL;
    unsigned random = 3;
    while (race_goes_on()) {
        if (frees) {
            s.kvm = some(vhushmem_kvm_new(s.vm.fd, FIRST_SLOT, 32, &error));
        }
        ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
        for (int i = rand_r(&random) % 8; i > 0; i--) {
            sched_yield();
        }
        if (frees) {
            vhushmem_kvm_free(s.kvm);
            s.kvm = NULL;
        } else {
            ok(vhushmem_kvm_remove(s.kvm, s.rig.region));
        }
        sched_yield();
        EQ(slot_count(&s), 0);
        count_up(&places);
    }
    return NULL;
}

static void facts(bool frees)
{
    pthread_t threads[3];
    slots_begin(&s, frees ? 0 : 32, 0);
    file = memfd_of(PAGE, 1);
    maps = places = 0;
    for (uintptr_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, mapper, (void *)(i + 1)) == 0);
    }
    CHECK(pthread_create(&threads[2], NULL, placer, frees ? &s : NULL) == 0);
    RACE(threads, 3, counted(&maps) > 20 && counted(&places) > 20);
    EQ(slot_count(&s), 0);
    /* All slots are free again. */
    if (!frees) {
        vhushmem_region_unmap_all(s.rig.region);
        ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
        for (uint64_t page = 0; page < 16; page++) {
            ok(vhushmem_region_map(s.rig.region, file, 0, page * PAGE, PAGE, 0, &error));
        }
        EQ(slot_count(&s), 16);
    }
    close(file);
    slots_end(&s);
}

int main(void)
{
    races = 2;
    facts(false);
    facts(true);
    return 0;
}
