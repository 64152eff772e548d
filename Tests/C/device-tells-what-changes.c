/* SPDX-License-Identifier: BSD-3-Clause */
/* Every change of a mapping is told after it is in place and before the call that made it returns. A translator of guest
   code needs this. */
/* valgrind: no (it runs handlers between instructions, not in their midst) */
#include "rig.h"

#include <vhushmem/guard.h>
#include <vhushmem/series.h>

static struct {
    int count[VHUSHMEM_CHANGE_HEALED + 1], destroyed;
    vhushmem_change last;
    uint8_t seen; /* what the window showed when it was told */
    vhushmem_region *region;
    vhushmem_device *device; /* NULL once it goes */
} told;
static bool shows_holes;

static void on_change(vhushmem_device *device, const vhushmem_change *change, void *user_data)
{
    CHECK(user_data == &told && device != NULL && change->type <= VHUSHMEM_CHANGE_HEALED);
    told.count[change->type]++;
    told.last = *change;
    if (change->type != VHUSHMEM_CHANGE_UNMAPPED || shows_holes) {
        told.seen = *((volatile uint8_t *)vhushmem_region_window(told.region) + change->shm_offset);
    }
}

static void gone(void *user_data)
{
    CHECK(user_data == &told);
    told.destroyed++;
    if (told.device != NULL) {
        vhushmem_device_mapping_count(told.device); /* it may call the device, as a callback may */
    }
}

static void expect(vhushmem_change_type type, uint64_t offset, uint64_t len, int count)
{
    EQ(told.last.type, type);
    EQ(told.last.shmid, 2);
    EQ(told.last.shm_offset, offset);
    EQ(told.last.len, len);
    EQ(told.count[type], count);
}

static int map_at(vhushmem_device *device, int file, uint64_t offset, uint64_t fd_offset, uint64_t flags)
{
    VhostUserMMap map = {.shmid = 2, .shm_offset = offset, .len = 2 * PAGE, .fd_offset = fd_offset, .flags = flags};
    return vhushmem_handle_map(device, &map, file, NULL);
}

static int sections;

static void section_comes(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    sections++;
}

static void section_goes(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    sections--;
}

/* A listener of the series next to the callback, in either order: both are told of everything. */
static void beside_a_listener(bool first)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    MemoryListener listener = {.region_add = section_comes, .region_del = section_goes, .name = "beside"};
    int file = memfd_of(8 * PAGE, 3);
    memset(&told, 0, sizeof(told));
    told.region = some(vhushmem_region_new(device, 2, 64 * PAGE, NULL, &error));
    MemoryRegion *container = some(virtio_shmem_memory_region(told.region));
    if (first) {
        memory_listener_register(&listener, container);
    }
    ok(vhushmem_device_set_callback(device, on_change, &told, NULL, &error));
    EQ(map_at(device, file, 0, 0, 0), 0);
    if (!first) {
        memory_listener_register(&listener, container); /* it is told of present mappings */
    }
    EQ(sections, 1);
    EQ(map_at(device, file, 8 * PAGE, 0, 0), 0);
    EQ(sections, 2);
    EQ(told.count[VHUSHMEM_CHANGE_MAPPED], 2);
    EQ(vhushmem_device_unmap_all(device), 2);
    EQ(sections, 0);
    EQ(told.count[VHUSHMEM_CHANGE_UNMAPPED], 2);
    if (first) {
        ok(vhushmem_device_set_callback(device, NULL, NULL, NULL, &error));
        EQ(map_at(device, file, 0, 0, 0), 0);
        EQ(sections, 1);
        EQ(told.count[VHUSHMEM_CHANGE_MAPPED], 2);
        memory_listener_unregister(&listener);
    } else {
        memory_listener_unregister(&listener);
        EQ(map_at(device, file, 0, 0, 0), 0);
        EQ(told.count[VHUSHMEM_CHANGE_MAPPED], 3);
    }
    sections = 0;
    vhushmem_device_unref(device);
    close(file);
}

int main(void)
{
    beside_a_listener(true);
    beside_a_listener(false);
    memset(&told, 0, sizeof(told));
    shows_holes = true;
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region_options options = {
        .struct_size = sizeof(options), .holes = VHUSHMEM_HOLES_ZERO, .flags = VHUSHMEM_REGION_REPLACE};
    int file = memfd_of(8 * PAGE, 3);
    const uint8_t first = 101, second = 202;
    CHECK(pwrite(file, &first, 1, 0) == 1 && pwrite(file, &second, 1, 4 * PAGE) == 1);
    told.device = device;
    ok(vhushmem_guard_install(&error)); /* the callback looks at pages that the file lacks */
    ok(vhushmem_device_set_callback(device, on_change, &told, gone, &error));
    told.region = some(vhushmem_region_new(device, 2, 64 * PAGE, &options, &error)); /* later than the callback */

    EQ(map_at(device, file, 8 * PAGE, 0, 0), 0);
    expect(VHUSHMEM_CHANGE_MAPPED, 8 * PAGE, 2 * PAGE, 1);
    EQ(told.seen, first);
    EQ(told.last.flags, 0);
    /* A callback that must know of every change is there from the beginning. The old one stays. */
    err(vhushmem_device_set_callback(device, on_change, &told, gone, &error), -EBUSY);
    EQ(told.destroyed, 1);
    EQ(map_at(device, file, 8 * PAGE, 4 * PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    expect(VHUSHMEM_CHANGE_REPLACED, 8 * PAGE, 2 * PAGE, 1);
    EQ(told.seen, second);
    EQ(told.last.fd_offset, 4 * PAGE);
    EQ(told.last.flags, VHOST_USER_FLAG_MAP_RW);
    EQ(map_at(device, file, 9 * PAGE, 0, 0), -EEXIST);
    EQ(told.count[VHUSHMEM_CHANGE_MAPPED], 1);
    ok(vhushmem_region_unmap(told.region, 8 * PAGE, 2 * PAGE, &error));
    expect(VHUSHMEM_CHANGE_UNMAPPED, 8 * PAGE, 2 * PAGE, 1);
    EQ(told.seen, 0);

    /* Breaking and healing. */
    uint8_t byte;
    EQ(map_at(device, file, 0, 0, VHOST_USER_FLAG_MAP_RW), 0);
    CHECK(ftruncate(file, 0) == 0);
    ok(vhushmem_resolve_guest_fault(told.region, 0, 1, VHUSHMEM_ACCESS_READ, NULL));
    EQ(vhushmem_device_check(device), 1);
    expect(VHUSHMEM_CHANGE_BROKEN, 0, 2 * PAGE, 1);
    EQ(vhushmem_device_check(device), 1);
    EQ(told.count[VHUSHMEM_CHANGE_BROKEN], 1);
    CHECK(ftruncate(file, 8 * PAGE) == 0);
    EQ(vhushmem_device_check(device), 0);
    expect(VHUSHMEM_CHANGE_HEALED, 0, 2 * PAGE, 1);
    EQ(vhushmem_region_read(told.region, 0, &byte, 1, NULL), 0);

    /* A reset, for a program that carries out single messages. */
    EQ(map_at(device, file, 16 * PAGE, 0, 0), 0);
    EQ(vhushmem_device_begin_reset(device, &error), 2);
    EQ(told.count[VHUSHMEM_CHANGE_UNMAPPED], 3);
    err(vhushmem_device_begin_reset(device, &error), -EALREADY);
    EQ(map_at(device, file, 0, 0, 0), -ECANCELED);
    VhostUserMMap map = {.shmid = 2, .len = 2 * PAGE};
    EQ(vhushmem_handle_unmap(device, &map, NULL), -ECANCELED);
    EQ(vhushmem_device_mapping_count(device), 0);
    ok(vhushmem_device_end_reset(device, &error));
    err(vhushmem_device_end_reset(device, &error), -EINVAL);
    EQ(map_at(device, file, 0, 0, 0), 0);
    EQ(vhushmem_device_unmap_all(device), 1);
    int unmapped = told.count[VHUSHMEM_CHANGE_UNMAPPED];

    /* Another callback takes over; then none. */
    ok(vhushmem_device_set_callback(device, on_change, &told, gone, &error));
    EQ(told.destroyed, 2);
    ok(vhushmem_device_set_callback(device, NULL, NULL, NULL, &error));
    EQ(told.destroyed, 3);
    EQ(map_at(device, file, 0, 0, 0), 0);
    EQ(vhushmem_device_unmap_all(device), 1);
    EQ(told.count[VHUSHMEM_CHANGE_UNMAPPED], unmapped);
    /* The end of the device is not told. */
    ok(vhushmem_device_set_callback(device, on_change, &told, gone, &error));
    EQ(map_at(device, file, 0, 0, 0), 0);
    told.device = NULL;
    vhushmem_device_unref(device);
    EQ(told.destroyed, 4);
    EQ(told.count[VHUSHMEM_CHANGE_UNMAPPED], unmapped);
    close(file);
    return 0;
}
