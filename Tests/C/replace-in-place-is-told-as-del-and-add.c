/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When a mapping is replaced in place, listeners hear region_del of the old one and region_add of the new one. The old
 * object is no longer live, and the new mapping has its own object. Listeners do not hear of a refused replacement.
 */
#include "rig.h"

#include <vhushmem/series.h>

static rig r;
static char heard[64];
static bool last_is_read_only;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    EQ(section->offset_within_region, 4 * PAGE);
    EQ(section->size, 2 * PAGE);
    last_is_read_only = section->readonly;
    strcat(heard, "a");
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    EQ(section->offset_within_region, 4 * PAGE);
    strcat(heard, "d");
}

static void hears(const char *wanted)
{
    if (strcmp(heard, wanted) != 0) {
        FAIL("heard \"%s\", not \"%s\"", heard, wanted);
    }
    heard[0] = 0;
}

static bool is_live(vhushmem_mapping *mapping)
{
    vhushmem_mapping_info info = {.struct_size = sizeof(info)};
    int live = (int)ok(vhushmem_mapping_get_info(mapping, &info));
    CHECK((info.host != NULL) == live);
    return live;
}

int main(void)
{
    MemoryListener listener = {.region_add = region_add, .region_del = region_del, .name = "test"};
    vhushmem_region_options region = {.struct_size = sizeof(region), .flags = VHUSHMEM_REGION_REPLACE};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &region};
    int first = memfd_of(2 * PAGE, 1), second = memfd_of(2 * PAGE, 2), reader = read_only(second);
    rig_open(&r, 16 * PAGE, &options);
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));

    ok(wire_map(&r, 0, first, 0, 4 * PAGE, 2 * PAGE, 0));
    hears("a");
    CHECK(last_is_read_only);
    vhushmem_mapping *old = some(vhushmem_region_find_mapping(r.region, 4 * PAGE, 2 * PAGE));
    CHECK(is_live(old));
    err(wire_map(&r, 0, reader, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW), -EACCES);
    err(wire_map(&r, 0, second, 0, 4 * PAGE, PAGE, 0), -EEXIST);
    hears("");
    CHECK(is_live(old));

    ok(wire_map(&r, 0, second, 0, 4 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW));
    hears("da");
    CHECK(!last_is_read_only);
    CHECK(!is_live(old));
    vhushmem_mapping *new = some(vhushmem_region_find_mapping(r.region, 4 * PAGE, 2 * PAGE));
    CHECK(new != old &&is_live(new));
    vhushmem_mapping_unref(old);

    /* By an object that the program has described itself. */
    vhushmem_mapping *described = some(vhushmem_mapping_new(0, first, 0, 4 * PAGE, 2 * PAGE, 0, &error));
    vhushmem_mapping_ref(described);
    ok(vhushmem_region_add_mapping(r.region, described, &error));
    hears("da");
    CHECK(last_is_read_only && is_live(described) && !is_live(new));
    vhushmem_mapping_unref(new);
    vhushmem_mapping *found = some(vhushmem_region_find_mapping(r.region, 4 * PAGE, 2 * PAGE));
    CHECK(found == described);
    vhushmem_mapping_unref(found);
    ok(wire_map(&r, 0, second, 0, 4 * PAGE, 2 * PAGE, 0));
    hears("da");
    CHECK(!is_live(described));
    vhushmem_mapping_unref(described);

    ok(wire_unmap(&r, 0, 4 * PAGE, 2 * PAGE));
    hears("d");
    memory_listener_unregister(&listener);
    hears("");
    close(first);
    close(second);
    close(reader);
    rig_close(&r);
    return 0;
}
