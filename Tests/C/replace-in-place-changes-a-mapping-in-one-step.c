/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With VHUSHMEM_REGION_REPLACE a map of exactly the range of a live mapping takes its place: from read-only to read-write
 * and back, to another file and another offset. Any other overlap is EEXIST. vhushmem_region_alloc never replaces.
 */
#include "rig.h"

static const vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_REPLACE};

static void is_mapped(rig *r, uint64_t seed, uint64_t fd_offset, bool is_writable)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    char *window = vhushmem_region_window(r->region);
    EQ(vhushmem_region_mapping_count(r->region), 1);
    EQ(vhushmem_region_mapped_bytes(r->region), 3 * PAGE);
    EQ(vhushmem_device_mapping_count(r->device), 1);
    EQ(vhushmem_device_mapped_bytes(r->device), 3 * PAGE);
    ok(vhushmem_region_next_mapping(r->region, 0, &info));
    EQ(info.shm_offset, 4 * PAGE);
    EQ(info.len, 2 * PAGE + 100);
    EQ(info.fd_offset, fd_offset);
    EQ(info.flags, is_writable ? VHOST_USER_FLAG_MAP_RW : 0);
    EQ(writable(window + 4 * PAGE), is_writable);
    CHECK(vhushmem_region_translate(r->region, 4 * PAGE, 8, false) == window + 4 * PAGE);
    CHECK(vhushmem_region_translate(r->region, 4 * PAGE, 8, true) == (is_writable ? window + 4 * PAGE : NULL));
    shows(r->region, 4 * PAGE, 2 * PAGE, seed, fd_offset);
}

static void facts(rig *r)
{
    const uint64_t at = 4 * PAGE, len = 2 * PAGE + 100;
    int first = memfd_of(8 * PAGE, 1), second = memfd_of(8 * PAGE, 2);
    ok(rig_map(r, first, 0, at, len, 0));
    is_mapped(r, 1, 0, false);
    ok(rig_map(r, first, 0, at, len, VHOST_USER_FLAG_MAP_RW));
    is_mapped(r, 1, 0, true);
    ok(rig_map(r, first, 0, at, len, 0));
    is_mapped(r, 1, 0, false);
    ok(rig_map(r, second, PAGE, at, len, 0));
    is_mapped(r, 2, PAGE, false);
    ok(rig_map(r, first, 2 * PAGE, at, len, VHOST_USER_FLAG_MAP_RW));
    is_mapped(r, 1, 2 * PAGE, true);
    /* A write reaches the new file. */
    uint64_t word = 0;
    *(volatile uint64_t *)((char *)vhushmem_region_window(r->region) + at + 8) = 77;
    CHECK(pread(first, &word, 8, (off_t)(2 * PAGE + 8)) == 8);
    EQ(word, 77);

    /* Other ranges than exactly its own. */
    static const int64_t others[][2] = {{4, 2}, {4, 4}, {3, 3}, {5, 3}, {3, 5}, {5, 1}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        rig_refuses(r, rig_map(r, second, 0, (uint64_t)others[i][0] * PAGE, (uint64_t)others[i][1] * PAGE, 0), -EEXIST,
                    hex(at));
    }
    rig_refuses(r, rig_map(r, second, 0, at, 3 * PAGE, 0), -EEXIST); /* the same pages, another length */
    is_mapped(r, 1, 2 * PAGE, true);
    uint64_t where = 0;
    ok(vhushmem_region_alloc(r->region, second, 0, len, 0, 0, &where, &error));
    CHECK(where != at);
    ok(rig_unmap(r, where, len));
    is_mapped(r, 1, 2 * PAGE, true);
    ok(rig_unmap(r, at, len));
    EQ(vhushmem_region_mapping_count(r->region), 0);
    EQ(vhushmem_device_mapped_bytes(r->device), 0);
    close(first);
    close(second);
}

/* One mapping fills the region: alloc finds no room, and does not take the mapping's place. */
static void full(void)
{
    rig r;
    uint64_t where = 0;
    rig_open_plain(&r, 4 * PAGE, NULL, &options);
    int file = memfd_of(4 * PAGE, 1);
    ok(vhushmem_region_map(r.region, file, 0, 0, 4 * PAGE, 0, &error));
    err(vhushmem_region_alloc(r.region, file, 0, 4 * PAGE, 0, VHOST_USER_FLAG_MAP_RW, &where, &error), -ENOSPC);
    CHECK(!writable(vhushmem_region_window(r.region)));
    close(file);
    rig_close(&r);
}

static void without(rig *r)
{
    int file = memfd_of(2 * PAGE, 1);
    ok(rig_map(r, file, 0, 4 * PAGE, 2 * PAGE, 0));
    rig_refuses(r, rig_map(r, file, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW), -EEXIST, hex(4 * PAGE));
    rig_refuses(r, rig_map(r, file, 0, 4 * PAGE, 2 * PAGE, 0), -EEXIST);
    ok(rig_unmap(r, 4 * PAGE, 2 * PAGE));
    close(file);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, &options);
    through_every_door(without, 16 * PAGE, NULL, NULL);
    full();
    return 0;
}
