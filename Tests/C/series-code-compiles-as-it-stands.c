/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device in the manner of the series: realize, a handler of both requests, reset and unrealize. It includes only series.h
 * before its code, reads the fields, uses the macros, and gets right results.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for the harness */
#endif

#include <errno.h>

#include <vhushmem/series.h>

typedef struct DemoDevice {
    VirtIODevice *vdev;
    vhushmem_frontend *backend; /* a struct vhost_dev in the series */
    MemoryRegion bar, rom;
    MemoryListener listener;
    unsigned added, deleted, commits;
    uint64_t last_offset;
} DemoDevice;

static void demo_region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    DemoDevice *demo = (DemoDevice *)((char *)listener - offsetof(DemoDevice, listener));

    demo->added++;
    demo->last_offset = section->offset_within_address_space;
}

static void demo_region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    DemoDevice *demo = (DemoDevice *)((char *)listener - offsetof(DemoDevice, listener));

    (void)section;
    demo->deleted++;
}

static void demo_commit(MemoryListener *listener)
{
    DemoDevice *demo = (DemoDevice *)((char *)listener - offsetof(DemoDevice, listener));

    demo->commits++;
}

/* realize: the regions of the back-end become the device's, and go into one BAR. */
static int demo_realize(DemoDevice *demo, GError **errp)
{
    uint64_t memory_sizes[VIRTIO_MAX_SHMEM_REGIONS];
    VirtioSharedMemory *shmem;
    hwaddr offset = 0;
    int nregions = 0;
    int ret = vhost_get_shmem_config(demo->backend, &nregions, memory_sizes, errp);

    if (ret < 0) {
        return ret;
    }
    for (int i = 0; i < VIRTIO_MAX_SHMEM_REGIONS; i++) {
        if (memory_sizes[i] != 0 && virtio_new_shmem_region(demo->vdev, (uint8_t)i, memory_sizes[i]) == NULL) {
            return -EINVAL;
        }
    }
    if (QSIMPLEQ_EMPTY(&demo->vdev->shmem_list)) {
        return -ENODEV;
    }
    memory_region_init(&demo->bar, OBJECT(demo->vdev), "demo-bar", UINT64_C(1) << 30);
    QSIMPLEQ_FOREACH(shmem, &demo->vdev->shmem_list, entry)
    {
        memory_region_add_subregion(&demo->bar, offset, &shmem->mr);
        offset += memory_region_size(&shmem->mr);
    }
    demo->listener.name = "demo";
    demo->listener.region_add = demo_region_add;
    demo->listener.region_del = demo_region_del;
    demo->listener.commit = demo_commit;
    memory_listener_register(&demo->listener, &demo->bar);
    return nregions;
}

static int demo_handle_map(DemoDevice *demo, const VhostUserMMap *vu_mmap, int fd)
{
    VirtioSharedMemoryMapping *mapping, *existing;
    VirtioSharedMemory *shmem = virtio_find_shmem_region(demo->vdev, vu_mmap->shmid);
    int ret = 0;

    if (fd < 0) {
        return -EBADF;
    }
    if (shmem == NULL) {
        return -ENOENT;
    }
    if (vu_mmap->shm_offset + vu_mmap->len < vu_mmap->len ||
        vu_mmap->shm_offset + vu_mmap->len > memory_region_size(&shmem->mr)) {
        return -EFAULT;
    }
    QTAILQ_FOREACH(existing, &shmem->mmaps, link)
    {
        if (existing->offset < vu_mmap->shm_offset + vu_mmap->len && vu_mmap->shm_offset < existing->offset + existing->len) {
            return -EEXIST;
        }
    }
    memory_region_transaction_begin();
    mapping = virtio_shared_memory_mapping_new(vu_mmap->shmid, fd, vu_mmap->fd_offset, vu_mmap->shm_offset, vu_mmap->len,
                                               (vu_mmap->flags & VHOST_USER_FLAG_MAP_RW) != 0);
    if (mapping == NULL) {
        ret = -EFAULT;
    } else if (virtio_add_shmem_map(shmem, mapping) != 0) {
        object_unref(OBJECT(mapping));
        ret = -EFAULT;
    }
    memory_region_transaction_commit();
    return ret;
}

static int demo_handle_unmap(DemoDevice *demo, const VhostUserMMap *vu_mmap)
{
    VirtioSharedMemory *shmem = virtio_find_shmem_region(demo->vdev, vu_mmap->shmid);
    VirtioSharedMemoryMapping *mmap;

    if (shmem == NULL) {
        return -ENOENT;
    }
    mmap = virtio_find_shmem_map(shmem, vu_mmap->shm_offset, vu_mmap->len);
    if (mmap == NULL) {
        return -EFAULT;
    }
    memory_region_transaction_begin();
    virtio_del_shmem_map(shmem, mmap->offset, mmap->len);
    memory_region_transaction_commit();
    return 0;
}

/* reset: all mappings of all regions go. */
static void demo_reset(DemoDevice *demo)
{
    VirtioSharedMemory *shmem;

    memory_region_transaction_begin();
    QSIMPLEQ_FOREACH(shmem, &demo->vdev->shmem_list, entry)
    {
        while (!QTAILQ_EMPTY(&shmem->mmaps)) {
            VirtioSharedMemoryMapping *mapping = QTAILQ_FIRST(&shmem->mmaps);
            virtio_del_shmem_map(shmem, mapping->offset, mapping->len);
        }
    }
    memory_region_transaction_commit();
}

static void demo_unrealize(DemoDevice *demo)
{
    VirtioSharedMemory *shmem;

    memory_listener_unregister(&demo->listener);
    QSIMPLEQ_FOREACH(shmem, &demo->vdev->shmem_list, entry) { memory_region_del_subregion(&demo->bar, &shmem->mr); }
    memory_region_unref(&demo->bar);
}

#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    DemoDevice demo = {0};
    GError *local_err = NULL;
    rig r;
    vhushmem_region_options by_mapping = {.struct_size = sizeof(by_mapping), .strategy = VHUSHMEM_STRATEGY_SLOTS};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &by_mapping};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 2, 16 * page);
    peer_add_region(&r.peer, 9, 8 * page);
    rig_connect(&r, &options);
    demo.vdev = r.device;
    demo.backend = r.frontend;
    EQ(demo_realize(&demo, &local_err), 2);
    CHECK(local_err == NULL);
    VirtioSharedMemory *first = some(virtio_find_shmem_region(demo.vdev, 2));
    VirtioSharedMemory *second = some(virtio_find_shmem_region(demo.vdev, 9));
    EQ(demo.commits, 0);

    int fd = memfd_of(4 * page, 1);
    VhostUserMMap map = {
        .shmid = 9, .fd_offset = page, .shm_offset = 3 * page, .len = 2 * page, .flags = VHOST_USER_FLAG_MAP_RW};
    EQ(demo_handle_map(&demo, &map, -1), -EBADF);
    EQ(demo_handle_map(&demo, &map, fd), 0);
    EQ(demo.added, 1);
    EQ(demo.commits, 1);
    EQ(demo.last_offset, memory_region_size(&first->mr) + 3 * page); /* the offset of the BAR */
    shows(second, 3 * page, 2 * page, 1, page);
    EQ(demo_handle_map(&demo, &map, fd), -EEXIST);
    map.shm_offset = 0;
    map.fd_offset = 3 * page; /* beyond the end */
    EQ(demo_handle_map(&demo, &map, fd), -EFAULT);
    map.fd_offset = 0;
    map.shm_offset = 0 - page;
    EQ(demo_handle_map(&demo, &map, fd), -EFAULT);
    map.shm_offset = 0;
    map.shmid = 3;
    EQ(demo_handle_map(&demo, &map, fd), -ENOENT);
    EQ(demo.added, 1);
    map.shmid = 2;
    EQ(demo_handle_map(&demo, &map, fd), 0);
    EQ(demo.last_offset, 0);
    map.len = page;
    EQ(demo_handle_unmap(&demo, &map), -EFAULT);
    map.len = 2 * page;
    EQ(demo_handle_unmap(&demo, &map), 0);
    EQ(demo.deleted, 1);
    EQ(demo.commits, 3);
    EQ(demo_handle_map(&demo, &map, fd), 0);
    demo_reset(&demo);
    EQ(demo.deleted, 3);
    EQ(demo.commits, 5);
    EQ(vhushmem_device_mapping_count(demo.vdev), 0);
    demo_unrealize(&demo);
    close(fd);
    rig_close(&r);
    return 0;
}
