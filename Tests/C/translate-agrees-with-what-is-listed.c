/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region translates exactly the bytes that it lists, after maps and unmaps at random: single pages side by side, a few in
 * each 2 MiB, some that cross a multiple of 2 MiB or are several of them, and all of that together; read-only and writable.
 */
#include "harness.h"
#include "random.h"

#define MIB2 0x200000u

static vhushmem_region *region;
static char *window;
static uint64_t page, size, state;

/* `at` lies in one mapping, which reaches from `start` to `end`. Or both are the ends of a hole; then `flags` is -1. */
static void asks(uint64_t at, uint64_t len, uint64_t start, uint64_t end, int64_t flags)
{
    bool covered = flags >= 0 && len > 0 && at >= start && at < end && len <= end - at;
    char *wanted = covered ? window + at : NULL;
    CHECK((char *)vhushmem_region_translate(region, at, len, false) == wanted);
    CHECK((char *)vhushmem_region_translate(region, at, len, true) == (flags == VHOST_USER_FLAG_MAP_RW ? wanted : NULL));
}

/* Checks a mapping or a hole wherever it may behave differently: at its ends, at each multiple of 2 MiB, and anywhere. */
static void translates(uint64_t start, uint64_t end, int64_t flags)
{
    if (start == end) {
        return;
    }
    asks(start, end - start, start, end, flags);
    asks(start, end - start + 1, start, end, flags);
    asks(start, 0, start, end, flags);
    asks(start, UINT64_MAX, start, end, flags);
    asks(start, 0 - start, start, end, flags);
    asks(start, 1, start, end, flags);
    asks(end - 1, 1, start, end, flags);
    asks(end - 1, 2, start, end, flags);
    for (uint64_t at = start; at < end; at = (at / MIB2 + 1) * MIB2) {
        uint64_t next = (at / MIB2 + 1) * MIB2, rest = (end < next ? end : next) - at;
        asks(at, rest, start, end, flags);
        asks(at, rest + 1, start, end, flags);
        asks(at, page, start, end, flags);
        asks(at + rest - 1, 1, start, end, flags);
        asks(at + rest - 1, 2, start, end, flags);
    }
    for (int i = 0; i < 4; i++) {
        uint64_t at = start + random_below(&state, end - start);
        asks(at, 1 + random_below(&state, page), start, end, flags);
        asks(at, 1 + random_below(&state, end - start), start, end, flags);
    }
}

static void compare(void)
{
    uint64_t from = 0;
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    while (vhushmem_region_next_mapping(region, from, &info) == 0) {
        uint64_t end = info.shm_offset + (info.len + page - 1) / page * page;
        translates(from, info.shm_offset, -1);
        translates(info.shm_offset, end, (int64_t)info.flags);
        from = end;
    }
    translates(from, size, -1);
    translates(size, size + MIB2, -1);
    translates(UINT64_MAX - 2 * MIB2, UINT64_MAX - MIB2, -1);
    asks(UINT64_MAX, 1, 0, 0, -1);
}

/* Mappings of up to `most` pages. Every eighth has `large` pages and begins at a multiple of 2 MiB. */
static void run(uint64_t pages, uint64_t most, uint64_t large, int fd)
{
    size = pages * page;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    region = some(vhushmem_region_new(device, 0, size, NULL, &error));
    window = vhushmem_region_window(region);
    int count = many_steps(1500);
    for (int i = 0; i < count; i++) {
        uint64_t at = random_below(&state, pages) * page, len = (1 + random_below(&state, most)) * page;
        if (large > 0 && random_below(&state, 8) == 0) {
            at = at / MIB2 * MIB2;
            len = large * page;
        }
        /* In most cases the mappings in the way go. In every other period, more go than come. */
        vhushmem_mapping_info info = {.struct_size = sizeof(info)};
        bool goes = random_below(&state, 8) < (i / 100 % 2 == 0 ? 2u : 6u);
        if (goes && vhushmem_region_next_mapping(region, at, &info) == 0) {
            ok(vhushmem_region_unmap(region, info.shm_offset, info.len, &error));
        } else if (len <= size - at) {
            len -= random_below(&state, 2) * random_below(&state, page);
            int result = vhushmem_region_map(region, fd, 0, at, len, random_below(&state, 2), NULL);
            CHECK(result == 0 || result == -EEXIST);
        }
        if (i % 50 == 49) {
            compare();
        }
    }
    ok(vhushmem_region_unmap_all(region));
    EQ(vhushmem_region_mapping_count(region), 0);
    compare();
    vhushmem_device_unref(device);
}

int main(void)
{
    page = PAGE;
    state = random_seed();
    uint64_t chunk = MIB2 / page;
    int fd = memfd_of(4 * MIB2, 1);
    run(64, 1, 0, fd);                 /* side by side */
    run(chunk + 1, 3, 0, fd);          /* some hundred in 2 MiB */
    run(100 * chunk, 2, 0, fd);        /* a few in each 2 MiB, or one */
    run(20 * chunk, 10, chunk, fd);    /* and whole 2 MiB */
    run(8 * chunk, chunk, 0, fd);      /* across multiples of 2 MiB */
    run(30 * chunk, 4, 2 * chunk, fd); /* two of them, and many small ones */
    run(40 * chunk - 7, 2 * chunk, 3 * chunk, fd);
    close(fd);
    return 0;
}
