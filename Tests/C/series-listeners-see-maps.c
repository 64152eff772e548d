/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A listener hears region_add when the mapping can be read and before the back-end gets its answer, region_del before the
 * memory goes, and commit after the answer.
 */
#include "rig.h"

#include <vhushmem/series.h>

static rig r;
static char heard[256]; /* "a" region_add, "d" region_del, "c" commit, "b" begin is not recorded */
static MemoryRegionSection last;

static void check_section(MemoryListener *listener, MemoryRegionSection *section)
{
    CHECK(strcmp(listener->name, "test") == 0);
    CHECK(section->mr == virtio_shmem_memory_region(r.region));
    EQ((uintptr_t)section->host, (uintptr_t)vhushmem_region_window(r.region) + section->offset_within_region);
    shows(r.region, section->offset_within_region, section->size, 1, 0);
    last = *section;
}

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    check_section(listener, section);
    CHECK(!wait_readable(r.channel, 0));
    strcat(heard, "a");
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    check_section(listener, section);
    CHECK(!wait_readable(r.channel, 0));
    strcat(heard, "d");
}

static void commit(MemoryListener *listener)
{
    (void)listener;
    CHECK(wait_readable(r.channel, 0));
    strcat(heard, "c");
}

static void hears(const char *wanted)
{
    if (strcmp(heard, wanted) != 0) {
        FAIL("heard \"%s\", not \"%s\"", heard, wanted);
    }
    heard[0] = 0;
}

int main(void)
{
    uint64_t page = PAGE;
    MemoryListener listener = {.region_add = region_add, .region_del = region_del, .commit = commit, .name = "test"};
    rig_open(&r, 16 * page, NULL);
    MemoryRegion *container = some(virtio_shmem_memory_region(r.region));
    CHECK(memory_region_get_ram_ptr(container) == vhushmem_region_window(r.region));
    EQ(memory_region_size(container), 16 * page);
    EQ(memory_region_get_fd(container), -1);
    memory_listener_register(&listener, container);
    hears("");

    int fd = memfd_of(2 * page, 1);
    ok(wire_map(&r, 0, fd, 0, 4 * page, 2 * page, 0));
    hears("ac");
    EQ(last.offset_within_region, 4 * page);
    EQ(last.size, 2 * page);
    CHECK(last.readonly);
    ok(wire_map(&r, 0, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW));
    hears("ac");
    CHECK(!last.readonly);
    err(wire_map(&r, 0, fd, 0, 0, page, 0), -EEXIST);
    err(wire_unmap(&r, 0, 4 * page, page), -EINVAL);
    hears("");
    ok(wire_unmap(&r, 0, 4 * page, 2 * page));
    hears("dc");
    EQ(last.offset_within_region, 4 * page);

    listener.commit = NULL; /* the following calls have no answer */
    ok(vhushmem_region_map(r.region, fd, 0, 8 * page, page, 0, &error));
    hears("a");
    VirtioSharedMemoryMapping *mapping = some(virtio_shared_memory_mapping_new(0, fd, 0, 9 * page, page, false));
    ok(virtio_add_shmem_map(r.region, mapping));
    hears("a");
    virtio_del_shmem_map(r.region, 9 * page, page);
    hears("d");
    EQ(vhushmem_region_unmap_all(r.region), 2);
    hears("dd");
    ok(vhushmem_region_map(r.region, fd, 0, 8 * page, page, 0, &error));
    hears("a");

    memory_listener_unregister(&listener);
    hears("d");
    ok(vhushmem_region_unmap(r.region, 8 * page, page, &error));
    ok(vhushmem_region_map(r.region, fd, 0, 0, page, 0, &error));
    hears("");

    /* A listener that comes late hears of present mappings. */
    memory_listener_register(&listener, container);
    hears("a");
    close(fd);
    memory_listener_unregister(&listener);
    rig_close(&r);
    return 0;
}
