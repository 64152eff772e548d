/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two vCPUs read and write all over a region while mappings come and go. Each word that they see is one of the file that may
 * be there, zero, or a vCPU's own. No write gets into a file that is mapped read-only, and both vCPUs go on.
 */
#include "guest.h"

enum { PLACES = 24, FILES = 4 };

#define MARK UINT32_C(0x77000000)

typedef struct runner {
    vcpu vcpu;
    uint32_t mark;
    unsigned random;
    uint64_t loads, stores; /* atomic */
} runner;

static int stop; /* atomic */

/* At the second half of each page's first word, files show their seed. The guest writes to the next word. */
static void *touch(void *user_data)
{
    runner *r = user_data;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint64_t page = (uint64_t)rand_r(&r->random) % PLACES * PAGE;
        if (rand_r(&r->random) % 4 != 0) {
            uint32_t seen = guest_load(&r->vcpu, page + 4);
            if (seen != 0 && (seen < pattern(0, 0) >> 32 || seen > pattern(FILES - 1, 0) >> 32 || seen % 256 != 0)) {
                FAIL("a vCPU sees 0x%x at 0x%" PRIx64, seen, page + 4);
            }
            seen = guest_load(&r->vcpu, page + 8);
            if (seen != 0 && (seen & ~UINT32_C(1)) != MARK && seen % PAGE != 8) {
                FAIL("a vCPU sees 0x%x at 0x%" PRIx64, seen, page + 8);
            }
            __atomic_fetch_add(&r->loads, 2, __ATOMIC_RELAXED);
        } else {
            guest_store(&r->vcpu, page + 8, r->mark);
            __atomic_fetch_add(&r->stores, 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static bool has_run(const runner *r)
{
    return __atomic_load_n(&r->loads, __ATOMIC_RELAXED) > 0 && __atomic_load_n(&r->stores, __ATOMIC_RELAXED) > 0;
}

static void facts(guest *g)
{
    uint64_t page = PAGE;
    vhushmem_region *region = g->rig.region;
    if (!writes_can_be_resolved(&g->vcpu, 0)) {
        skip("this kernel does not say where its guest failed");
    }
    int fds[FILES];
    for (int i = 0; i < FILES; i++) {
        fds[i] = memfd_of(4 * page, (uint64_t)i);
    }
    runner runners[2] = {{.mark = MARK, .random = 1}, {.mark = MARK + 1, .random = 2}};
    pthread_t threads[2];
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        vcpu_open(&runners[i].vcpu, &g->vm, 1 + i);
        CHECK(pthread_create(&threads[i], NULL, touch, &runners[i]) == 0);
    }

    /* Files with odd numbers are mapped read-write. At each moment a place shows one page of one file. */
    int64_t end = now_ms() + 1000, hang = now_ms() + PATIENCE_MS;
    unsigned random = 3;
    uint64_t maps = 0;
    bool mapped[PLACES] = {false};
    /* A busy machine may start the threads late, so this goes on until they have run. */
    while (now_ms() < end || maps <= 10 || !has_run(&runners[0]) || !has_run(&runners[1])) {
        CHECK(now_ms() < hang);
        unsigned place = (unsigned)rand_r(&random) % PLACES, file = (unsigned)rand_r(&random) % FILES;
        if (mapped[place]) {
            ok(rig_unmap(&g->rig, place * page, page));
        } else {
            ok(rig_map(&g->rig, fds[file], (uint64_t)rand_r(&random) % 4 * page, place * page, page, file % 2));
            maps++;
        }
        mapped[place] = !mapped[place];
        usleep(200);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        printf("%" PRIu64 " loads, %" PRIu64 " stores, %d faults; %" PRIu64 " maps\n", runners[i].loads, runners[i].stores,
               fault_count(&runners[i].vcpu), maps);
        vcpu_close(&runners[i].vcpu);
    }

    for (int i = 0; i < FILES; i += 2) {
        file_is_untouched(fds[i], 4 * page, (uint64_t)i);
    }
    for (int i = 1; i < FILES; i += 2) {
        for (uint64_t offset = 0; offset < 4 * page; offset += 8) {
            uint64_t word;
            EQ(pread(fds[i], &word, 8, (off_t)offset), 8);
            if (offset % page == 8 && ((uint32_t)word & ~UINT32_C(1)) == MARK) {
                word = (word & ~(uint64_t)UINT32_MAX) | (uint32_t)offset;
            }
            EQ(word, pattern((uint64_t)i, offset));
        }
    }
    /* Everything works afterwards. */
    vhushmem_device_unmap_all(g->rig.device);
    ok(rig_map(&g->rig, fds[0], 0, 0, 4 * page, 0));
    guest_shows(&g->vcpu, 2 * page, 0, 2 * page);
    EQ(vhushmem_region_mapping_count(region), 1);
    for (int i = 0; i < FILES; i++) {
        close(fds[i]);
    }
}

int main(void)
{
    with_a_guest(facts, PLACES * PAGE, VHUSHMEM_HOLES_FAULT);
    with_a_guest(facts, PLACES * PAGE, VHUSHMEM_HOLES_ZERO);
    return 0;
}
