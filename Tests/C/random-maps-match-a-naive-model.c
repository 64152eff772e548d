/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 100 slots of different sizes are mapped and unmapped at random 10,000 times. They match a model that knows only the owner
 * of each page. The test reads the window after each step. At the end no descriptor and no mapping is left.
 * VHUSHMEM_TEST_SEED gives the seed.
 */
#include "random.h"

#define SLOTS 100
#define PAGES 8000 /* of the region: the slots together have 5,050, so many maps collide */
#define FILES 4
#define FILE_PAGES 160

typedef struct slot {
    bool live;
    uint64_t at, len, fd_offset, flags; /* bytes; half of the time, len is no multiple of the page */
    unsigned file;
} slot;

static slot slots[SLOTS];
static int owner[PAGES]; /* of each page: slot + 1, or 0 */
static uint64_t page, live_count, live_bytes, state;

static uint64_t below(uint64_t limit) { return random_below(&state, limit); }

static uint64_t pages_of(uint64_t len) { return (len + page - 1) / page; }

static void own(const slot *s, int who)
{
    for (uint64_t i = 0; i < pages_of(s->len); i++) {
        owner[s->at / page + i] = who;
    }
    live_count += who != 0 ? 1 : UINT64_MAX;
    live_bytes += (who != 0 ? 1 : UINT64_MAX) * pages_of(s->len) * page;
}

static bool is_free(const slot *s)
{
    for (uint64_t i = 0; i < pages_of(s->len); i++) {
        if (owner[s->at / page + i] != 0) {
            return false;
        }
    }
    return true;
}

static void step(vhushmem_region *region, const int *files)
{
    unsigned i = (unsigned)below(SLOTS);
    slot *s = &slots[i];
    if (s->live) {
        if (below(4) == 0) {
            err(vhushmem_region_unmap(region, s->at, s->len + page, &error), -EINVAL);
            err(vhushmem_region_map(region, files[s->file], 0, s->at, page, 0, &error), -EEXIST);
        }
        ok(vhushmem_region_unmap(region, s->at, s->len, &error));
        own(s, 0);
        s->live = false;
        return;
    }
    slot wanted = {.live = true, .file = (unsigned)below(FILES)};
    wanted.len = (i + 1) * page - (below(2) ? below(page) : 0);
    wanted.at = below(PAGES - i) * page;
    wanted.fd_offset = below(FILE_PAGES - i) * page;
    wanted.flags = below(2) ? VHOST_USER_FLAG_MAP_RW : 0;
    int64_t done =
        vhushmem_region_map(region, files[wanted.file], wanted.fd_offset, wanted.at, wanted.len, wanted.flags, &error);
    if (!is_free(&wanted)) {
        err(done, -EEXIST);
        return;
    }
    ok(done);
    *s = wanted;
    own(s, (int)i + 1);
    shows(region, s->at, pages_of(s->len) * page, s->file, s->fd_offset);
}

/* The region reports what the model has, and its window shows the ends of each mapping. */
static void compare(vhushmem_region *region)
{
    uint64_t from = 0, seen = 0;
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    EQ(vhushmem_region_mapping_count(region), live_count);
    EQ(vhushmem_region_mapped_bytes(region), live_bytes);
    while (vhushmem_region_next_mapping(region, from, &info) == 0) {
        CHECK(info.shm_offset >= from && info.shm_offset / page < PAGES);
        int who = owner[info.shm_offset / page];
        CHECK(who > 0);
        const slot *s = &slots[who - 1];
        EQ(info.shm_offset, s->at);
        EQ(info.len, s->len);
        EQ(info.fd_offset, s->fd_offset);
        EQ(info.flags, s->flags);
        EQ(info.shmid, 3);
        EQ((uintptr_t)info.host, (uintptr_t)vhushmem_region_window(region) + s->at);
        shows(region, s->at, page, s->file, s->fd_offset);
        uint64_t last = (pages_of(s->len) - 1) * page;
        shows(region, s->at + last, page, s->file, s->fd_offset + last);
        from = info.shm_offset + info.len;
        seen++;
    }
    EQ(seen, live_count);
}

static void run(int count)
{
    int files[FILES];
    memset(slots, 0, sizeof(slots));
    memset(owner, 0, sizeof(owner));
    live_count = live_bytes = 0;
    for (unsigned i = 0; i < FILES; i++) {
        files[i] = memfd_of(FILE_PAGES * page, i);
    }
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 3, PAGES * page, NULL, &error));
    for (int i = 0; i < count; i++) {
        step(region, files);
        compare(region);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].live && i % 2 == 0) {
            ok(vhushmem_region_unmap(region, slots[i].at, slots[i].len, &error));
            own(&slots[i], 0);
            slots[i].live = false;
            compare(region);
        }
    }
    EQ(vhushmem_region_unmap_all(region), live_count);
    EQ(vhushmem_region_mapping_count(region), 0);
    vhushmem_device_unref(device);
    for (int i = 0; i < FILES; i++) {
        close(files[i]);
    }
}

int main(void)
{
    page = PAGE;
    state = random_seed();
    run(10); /* the first run makes what then stays for good */
    char *fds = fds_now(), *maps = maps_now();
    run(steps(10000));
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
