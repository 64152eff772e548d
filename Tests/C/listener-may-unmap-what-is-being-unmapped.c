/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region_del tells a listener that a mapping goes, and the listener unmaps it itself. It is told once. Its own unmap finds
 * nothing (ENOENT), and the call that told it succeeds. The same holds for a listener that undoes everything.
 */
#include "rig.h"

#include <vhushmem/series.h>

static rig r;
static int added, deleted;
static bool undo_all;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    added++;
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    deleted++;
    CHECK(deleted <= added);
    shows(r.region, section->offset_within_region, section->size, 1, 0);
    if (undo_all) {
        undo_all = false;
        ok(vhushmem_region_unmap_all(r.region));
    } else {
        err(vhushmem_region_unmap(r.region, section->offset_within_region, section->size, &error), -ENOENT);
    }
}

int main(void)
{
    MemoryListener listener = {.region_add = region_add, .region_del = region_del, .name = "test"};
    int file = memfd_of(2 * PAGE, 1);
    rig_open(&r, 16 * PAGE, NULL);
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));

    for (int all = 0; all < 2; all++) {
        added = deleted = 0;
        undo_all = all;
        ok(vhushmem_region_map(r.region, file, 0, 4 * PAGE, 2 * PAGE, 0, &error));
        ok(vhushmem_region_unmap(r.region, 4 * PAGE, 2 * PAGE, &error));
        EQ(added, 1);
        EQ(deleted, 1);
        EQ(vhushmem_region_mapping_count(r.region), 0);
        CHECK(vhushmem_region_translate(r.region, 4 * PAGE, 1, false) == NULL);

        /* The back-end unmaps. */
        undo_all = all;
        ok(wire_map(&r, 0, file, 0, 4 * PAGE, 2 * PAGE, 0));
        ok(wire_unmap(&r, 0, 4 * PAGE, 2 * PAGE));
        EQ(added, 2);
        EQ(deleted, 2);

        /* All mappings at once. */
        undo_all = false;
        ok(vhushmem_region_map(r.region, file, 0, 0, PAGE, 0, &error));
        ok(vhushmem_region_map(r.region, file, 0, 4 * PAGE, 2 * PAGE, 0, &error));
        EQ(vhushmem_region_unmap_all(r.region), 2);
        EQ(added, 4);
        EQ(deleted, 4);
    }
    memory_listener_unregister(&listener);
    EQ(deleted, 4);
    close(file);
    rig_close(&r);
    return 0;
}
