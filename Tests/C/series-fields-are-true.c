/* SPDX-License-Identifier: BSD-3-Clause */
/* The fields of a device, a region and a mapping that the series' code reads are true at every moment: ids, sizes, offsets
   and lists. */
#include "rig.h"

#include <vhushmem/series.h>

/* The list has these mappings, in this order, and its links are whole. */
static void lists(VirtioSharedMemory *shmem, size_t count, VirtioSharedMemoryMapping **wanted)
{
    VirtioSharedMemoryMapping *mapping, **place = &shmem->mmaps.tqh_first;
    size_t found = 0;
    QTAILQ_FOREACH(mapping, &shmem->mmaps, link)
    {
        CHECK(found < count && mapping == wanted[found]);
        CHECK(mapping->link.tqe_prev == place);
        CHECK(memory_region_is_mapped(mapping->mr));
        place = &mapping->link.tqe_next;
        found++;
    }
    EQ(found, count);
    CHECK(shmem->mmaps.tqh_last == place);
}

static VirtioSharedMemoryMapping *at(VirtioSharedMemory *shmem, uint64_t offset, uint64_t len)
{
    return some(virtio_find_shmem_map(shmem, offset, len));
}

static void the_lists_of_regions(void)
{
    VirtioSharedMemory *shmem, *last = NULL;
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    int order[3], count = 0;
    CHECK(QSIMPLEQ_EMPTY(&vdev->shmem_list) && vdev->shmem_list.sqh_last == &vdev->shmem_list.sqh_first);
    some(virtio_new_shmem_region(vdev, 7, PAGE));
    some(vhushmem_region_new(vdev, 1, 2 * PAGE, NULL, &error));
    ok(virtio_add_shmem(vdev, 255, 3 * PAGE, &error));
    QSIMPLEQ_FOREACH(shmem, &vdev->shmem_list, entry)
    {
        EQ(memory_region_size(&shmem->mr), vhushmem_region_size(shmem));
        CHECK(&shmem->mr == virtio_shmem_memory_region(shmem));
        CHECK(memory_region_get_ram_ptr(&shmem->mr) == vhushmem_region_window(shmem));
        CHECK(!memory_region_is_ram(&shmem->mr));
        order[count++] = shmem->shmid;
        last = shmem;
    }
    EQ(count, 3);
    CHECK(order[0] == 7 && order[1] == 1 && order[2] == 255);
    CHECK(vdev->shmem_list.sqh_last == &last->entry.sqe_next);
    vhushmem_device_unref(vdev);
}

static void the_list_of_mappings(void)
{
    uint64_t page = PAGE;
    rig r;
    vhushmem_region_options region = {.struct_size = sizeof(region), .flags = VHUSHMEM_REGION_REPLACE};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &region};
    VirtioSharedMemoryMapping *now[4], *replaced;
    rig_open(&r, 16 * page, &options);
    int fd = memfd_of(4 * page, 1);

    /* The list also has the mappings from before the first call, by offset. */
    ok(wire_map(&r, 0, fd, 0, 8 * page, page, 0));
    ok(wire_map(&r, 0, fd, 0, 4 * page, page + 1, VHOST_USER_FLAG_MAP_RW));
    CHECK(QTAILQ_EMPTY(&r.region->mmaps));
    VirtioSharedMemory *shmem = some(virtio_find_shmem_region(r.device, 0));
    now[0] = at(shmem, 4 * page, page + 1);
    now[1] = at(shmem, 8 * page, page);
    lists(shmem, 2, now);
    EQ(now[0]->shmid, 0);
    EQ(now[0]->offset, 4 * page);
    EQ(now[0]->len, page + 1);
    EQ(memory_region_size(now[0]->mr), page + 1);
    CHECK(memory_region_get_ram_ptr(now[0]->mr) == (char *)vhushmem_region_window(shmem) + 4 * page);
    CHECK(memory_region_is_ram(now[0]->mr));

    /* A new mapping is at the end, whoever made it. */
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    now[2] = at(shmem, 0, page);
    lists(shmem, 3, now);
    now[3] = some(virtio_shared_memory_mapping_new(0, fd, page, page, page, true));
    CHECK(!memory_region_is_mapped(now[3]->mr) && now[3]->offset == page);
    lists(shmem, 3, now);
    ok(virtio_add_shmem_map(shmem, now[3]));
    lists(shmem, 4, now);
    err(wire_map(&r, 0, fd, 0, page, 2 * page, 0), -EEXIST);
    lists(shmem, 4, now);

    /* A mapping in the place of another is a new one. */
    replaced = now[0];
    object_ref(OBJECT(replaced));
    ok(wire_map(&r, 0, fd, page, 4 * page, page + 1, 0));
    now[0] = now[1], now[1] = now[2], now[2] = now[3];
    now[3] = at(shmem, 4 * page, page + 1);
    CHECK(now[3] != replaced && !memory_region_is_mapped(replaced->mr));
    CHECK(memory_region_get_ram_ptr(replaced->mr) == NULL && replaced->offset == 4 * page);
    object_unref(OBJECT(replaced));
    lists(shmem, 4, now);

    ok(wire_unmap(&r, 0, 0, page));
    now[1] = now[2], now[2] = now[3];
    lists(shmem, 3, now);
    virtio_del_shmem_map(shmem, 4 * page, page + 1);
    lists(shmem, 2, now);
    EQ(vhushmem_region_unmap_all(shmem), 2);
    lists(shmem, 0, now);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    now[0] = at(shmem, 0, page);
    lists(shmem, 1, now);
    close(fd);
    rig_close(&r);
}

int main(void)
{
    char *fds = fds_now();
    the_lists_of_regions();
    the_list_of_mappings();
    same(fds, fds_now());
    return 0;
}
