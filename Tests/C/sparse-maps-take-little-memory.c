/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end chooses the size of its regions, and where in them it maps. However far apart the mappings are, the library's
 * own memory stays small. The library frees its memory for mappings that are gone.
 */
/* valgrind: no (it has no room for a region of 1 TiB) */
#include "rig.h"

#define REGION (UINT64_C(1) << 40)
#define APART (UINT64_C(64) << 20)
#define AT_A_PLACE 4
/* What the index for 64 GiB of a region may take, and some for the table. */
#define MAY_TAKE_KIB (6 * 1024)
#define MAY_KEEP_KIB 1536

static uint64_t place_of(long place, int number) { return (uint64_t)place * APART % REGION + (uint64_t)number * 2 * PAGE; }

static void map_there(vhushmem_region *region, int fd, long place)
{
    for (int i = 0; i < AT_A_PLACE; i++) {
        ok(vhushmem_region_map(region, fd, 0, place_of(place, i), PAGE, 0, &error));
        CHECK(vhushmem_region_translate(region, place_of(place, i), PAGE, false) != NULL);
    }
}

static void grew_by_at_most(const char *when, long before, long kib)
{
    long after = resident_kib();
    printf("note: %s: %ld KiB more\n", when, after - before);
    if (!under_valgrind() && !under_sanitizer()) {
        CHECK(after - before <= kib);
    }
}

int main(void)
{
    int fd = memfd_of(PAGE, 1);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, REGION, NULL, &error));
    long before = resident_kib();

    /* All over the region, a few at a time. */
    for (long place = 0; place < steps((long)(REGION / APART)); place++) {
        map_there(region, fd, place);
        for (int i = 0; i < AT_A_PLACE; i++) {
            ok(vhushmem_region_unmap(region, place_of(place, i), PAGE, &error));
        }
    }
    grew_by_at_most("none of them live", before, MAY_KEEP_KIB);

    /* Thousands at once. */
    long places = steps(2048);
    for (long place = 0; place < places; place++) {
        map_there(region, fd, place);
    }
    grew_by_at_most("all of them live", before, MAY_TAKE_KIB);
    EQ(vhushmem_region_unmap_all(region), places * AT_A_PLACE);
    grew_by_at_most("all of them undone", before, MAY_KEEP_KIB);

    vhushmem_device_unref(device);
    close(fd);
    return 0;
}
