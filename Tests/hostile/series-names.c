/* SPDX-License-Identifier: BSD-3-Clause */
/* A victim whose program uses the series' names. Its lists and its listener's reports are true, whatever the back-end sends. */
#include "hostile.h"
#include "random.h"

#include <vhushmem/series.h>

/* ---- the victim ---- */

static VirtioSharedMemory *shmem;
static MemoryRegion bar;
static struct {
    MemoryListener listener;
    unsigned live;
    bool has_begun;
} slots;

static void slots_begin(MemoryListener *listener)
{
    (void)listener;
    CHECK(!slots.has_begun);
    slots.has_begun = true;
}

static void slots_commit(MemoryListener *listener)
{
    (void)listener;
    CHECK(slots.has_begun);
    slots.has_begun = false;
}

static void slots_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    CHECK(slots.has_begun && section->size <= REGION && section->offset_within_region <= REGION - section->size);
    CHECK(section->host == (char *)vhushmem_region_window(shmem) + section->offset_within_region);
    slots.live++;
}

static void slots_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    CHECK(slots.has_begun && section->size <= REGION);
    CHECK(slots.live-- > 0);
}

/* The tally is how often this checked everything. */
static void all_is_true(vhushmem_frontend *f, const vhushmem_event *event)
{
    VirtIODevice *vdev = vhushmem_frontend_device(f);
    VirtioSharedMemoryMapping *mapping, *next, **place;
    uint64_t count = 0;
    if (event->type == VHUSHMEM_EVENT_READY) {
        shmem = some(virtio_find_shmem_region(vdev, 0));
        CHECK(QSIMPLEQ_FIRST(&vdev->shmem_list) == shmem && QSIMPLEQ_NEXT(shmem, entry) == NULL);
        memory_region_init(&bar, OBJECT(vdev), "bar", 2 * REGION);
        memory_region_add_subregion(&bar, REGION, &shmem->mr);
        slots.listener = (MemoryListener){
            .begin = slots_begin, .commit = slots_commit, .region_add = slots_add, .region_del = slots_del, .name = "slots"};
        memory_listener_register(&slots.listener, &shmem->mr);
        return;
    }
    if (shmem == NULL) {
        return;
    }
    place = &shmem->mmaps.tqh_first;
    QTAILQ_FOREACH_SAFE(mapping, &shmem->mmaps, link, next)
    {
        CHECK(mapping->link.tqe_prev == place && mapping->shmid == 0 && memory_region_is_mapped(mapping->mr));
        CHECK(mapping->len != 0 && mapping->len <= REGION && mapping->offset <= REGION - mapping->len);
        CHECK(virtio_find_shmem_map(shmem, mapping->offset, mapping->len) == mapping);
        place = &mapping->link.tqe_next;
        count++;
    }
    CHECK(shmem->mmaps.tqh_last == place);
    EQ(count, vhushmem_region_mapping_count(shmem));
    EQ(count, slots.live);
    victim_tally++;
}

static void undo_it(vhushmem_frontend *f, char what)
{
    (void)f;
    (void)what;
    memory_region_transaction_begin();
    while (!QTAILQ_EMPTY(&shmem->mmaps)) {
        virtio_del_shmem_map(shmem, QTAILQ_FIRST(&shmem->mmaps)->offset, QTAILQ_FIRST(&shmem->mmaps)->len);
    }
    memory_region_transaction_commit();
    EQ(slots.live, 0);
}

static void let_go(void)
{
    if (shmem != NULL) {
        memory_listener_unregister(&slots.listener);
        EQ(slots.live, 0);
        memory_region_del_subregion(&bar, &shmem->mr);
        memory_region_unref(&bar);
    }
}

/* ---- the back-end ---- */

/* Mostly within reach, sometimes far from it. */
static uint64_t some_number(uint64_t *state, uint64_t pages)
{
    const uint64_t far[] = {1, 4095, REGION - 1, REGION, REGION + 1, UINT64_C(1) << 63, 0 - (uint64_t)4096, UINT64_MAX};
    return random_next(state) % 8 == 0 ? far[random_next(state) % G_N_ELEMENTS(far)] : random_next(state) % pages * PAGE;
}

static bool has_ended(arena *a)
{
    look l = look_at(a, 'S');
    g_free(l.text);
    return l.over;
}

/* `with`: it leaves in the end. */
static int asks_for_anything(arena *a, const void *with)
{
    uint64_t state = random_seed();
    for (int i = 0, count = steps(3000); i < count; i++) {
        VhostUserMMap map = {.shmid = random_next(&state) % 16 == 0,
                             .shm_offset = some_number(&state, REGION_PAGES),
                             .len = some_number(&state, 4),
                             .fd_offset = some_number(&state, FILE_PAGES),
                             .flags = random_next(&state) % 32 == 0 ? UINT64_MAX : random_next(&state) % 2};
        bool is_map = random_next(&state) % 3 != 0;
        CHECK(ask(a, is_map ? MAP : UNMAP, NEED_REPLY, &map, sizeof(map), is_map ? &a->file : NULL, is_map) <= 0);
        if (i % 500 == 250) {
            g_free(look_at(a, i % 1000 == 250 ? 'U' : 'R').text);
        }
    }
    a->mapped.len = 0;
    if (with != NULL) {
        VhostUserMMap map = usual_map();
        ask_map(a, &map, a->file);
        peer_hang_up(&a->hostile);
        STEP_UNTIL(has_ended(a), usleep(200));
        return ENDED;
    }
    look last = look_at(a, 'U');
    g_free(last.text);
    CHECK(a->tally > 0);
    return 0;
}

static const hostile_case cases[] = {
    {"anything is asked of a program with the series' names", 0, asks_for_anything, NULL, NULL},
    {"it leaves a program with the series' names", ENDED, asks_for_anything, "it leaves", NULL},
};

int main(void)
{
    becomes_ready = true;
    CASES_BEGIN(G_N_ELEMENTS(cases));
    habits = (victim_habits){.event = all_is_true, .command = undo_it, .end = let_go};
    run_cases(cases, G_N_ELEMENTS(cases));
    return failures != 0;
}
