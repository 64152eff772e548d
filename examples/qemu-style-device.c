/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * A device that a QEMU developer recognises at once: realize, the handler of the back-end's requests, reset and unrealize, with
 * the names of the patch series. Only its include is this library's own (Tests/C/series-device-of-the-example-is-qemu-s.c
 * checks that).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vhushmem/series.h>

#include "qemu-style.h"

/** Make the back-end's regions the device's, one after the other in one BAR. */
bool style_device_realize(StyleDevice *style, Error **errp)
{
    struct vhost_dev *dev = &style->vhost_dev;
    VirtIODevice *vdev = dev->vdev;
    uint64_t memory_sizes[VIRTIO_MAX_SHMEM_REGIONS], bar_size = 0;
    VirtioSharedMemory *shmem, *next;
    hwaddr offset = 0;
    int nregions;

    if (dev->vhost_ops->vhost_get_shmem_config(dev, &nregions, memory_sizes, errp) < 0) {
        return false;
    }
    for (int i = 0; i < VIRTIO_MAX_SHMEM_REGIONS && nregions > 0; i++) {
        if (memory_sizes[i] != 0) {
            nregions--;
            if (virtio_new_shmem_region(vdev, (uint8_t)i, memory_sizes[i]) == NULL) {
                error_setg(errp, "no region %d of 0x%" PRIx64 " bytes", i, memory_sizes[i]);
                return false;
            }
        }
    }
    QSIMPLEQ_FOREACH(shmem, &vdev->shmem_list, entry) { bar_size += shmem->mr.size; }
    memory_region_init(&style->shmembar, OBJECT(vdev), "style-shmembar", bar_size);
    QSIMPLEQ_FOREACH_SAFE(shmem, &vdev->shmem_list, entry, next)
    {
        memory_region_add_subregion(&style->shmembar, offset, &shmem->mr);
        offset += memory_region_size(&shmem->mr);
    }
    return true;
}

static int style_device_map(VirtIODevice *vdev, const VhostUserMMap *vu_mmap, int fd)
{
    VirtioSharedMemory *shmem = virtio_find_shmem_region(vdev, vu_mmap->shmid);
    VirtioSharedMemoryMapping *mapping, *existing;
    uint64_t end = vu_mmap->shm_offset + vu_mmap->len;
    int ret;

    if (fd < 0) {
        error_report("a map without a file");
        return -EBADF;
    }
    if (shmem == NULL) {
        error_report("there is no region %d", vu_mmap->shmid);
        return -ENOENT;
    }
    if (end < vu_mmap->len || end > memory_region_size(&shmem->mr)) {
        error_report("0x%" PRIx64 "+0x%" PRIx64 " is not in region %d", vu_mmap->shm_offset, vu_mmap->len, shmem->shmid);
        return -EINVAL;
    }
    QTAILQ_FOREACH(existing, &shmem->mmaps, link)
    {
        if (existing->offset < end && vu_mmap->shm_offset < existing->offset + existing->len) {
            error_report("0x%" PRIx64 "+0x%" PRIx64 " overlaps what is mapped", vu_mmap->shm_offset, vu_mmap->len);
            return -EEXIST;
        }
    }
    mapping = virtio_shared_memory_mapping_new(vu_mmap->shmid, fd, vu_mmap->fd_offset, vu_mmap->shm_offset, vu_mmap->len,
                                               vu_mmap->flags & VHOST_USER_FLAG_MAP_RW);
    if (mapping == NULL) {
        return -EFAULT; /* the file is the reason */
    }
    ret = virtio_add_shmem_map(shmem, mapping);
    if (ret != 0) {
        object_unref(OBJECT(mapping)); /* it still belongs to this function */
    }
    return ret;
}

static int style_device_unmap(VirtIODevice *vdev, const VhostUserMMap *vu_mmap)
{
    VirtioSharedMemory *shmem = virtio_find_shmem_region(vdev, vu_mmap->shmid);

    if (shmem == NULL || virtio_find_shmem_map(shmem, vu_mmap->shm_offset, vu_mmap->len) == NULL) {
        error_report("0x%" PRIx64 "+0x%" PRIx64 " of region %d is no mapping", vu_mmap->shm_offset, vu_mmap->len,
                     vu_mmap->shmid);
        return -ENOENT;
    }
    virtio_del_shmem_map(shmem, vu_mmap->shm_offset, vu_mmap->len);
    return virtio_find_shmem_map(shmem, vu_mmap->shm_offset, vu_mmap->len) == NULL ? 0 : -ENOMEM;
}

/** Serve a request. Listeners learn of a change at once, and of its commit when the transaction ends: after the answer. */
bool style_device_message(StyleDevice *style, const VhostUserMsg *msg)
{
    struct vhost_dev *dev = &style->vhost_dev;
    bool is_whole = msg->hdr.size == sizeof(msg->mmap), answered;
    int ret = -EINVAL;

    memory_region_transaction_begin();
    switch (msg->hdr.request) {
    case VHOST_USER_BACKEND_SHMEM_MAP:
        if (is_whole && (msg->mmap.flags & ~(uint64_t)VHOST_USER_FLAG_MAP_RW) == 0) {
            ret = style_device_map(dev->vdev, &msg->mmap, msg->fd);
        }
        break;
    case VHOST_USER_BACKEND_SHMEM_UNMAP:
        if (is_whole && msg->fd < 0) {
            ret = style_device_unmap(dev->vdev, &msg->mmap);
        }
        break;
    default:
        error_report("request %d is not served", (int)msg->hdr.request);
    }
    printf("style   request %d for 0x%07" PRIx64 " +0x%" PRIx64 ": %s\n", (int)msg->hdr.request, msg->mmap.shm_offset,
           msg->mmap.len, ret == 0 ? "done" : strerror(-ret));
    answered = vhost_user_send_resp(dev, msg, (uint64_t)(int64_t)ret);
    memory_region_transaction_commit();
    return answered;
}

/** Undo all mappings of all regions. */
void style_device_reset(StyleDevice *style)
{
    VirtioSharedMemory *shmem;

    memory_region_transaction_begin();
    QSIMPLEQ_FOREACH(shmem, &style->vhost_dev.vdev->shmem_list, entry)
    {
        while (!QTAILQ_EMPTY(&shmem->mmaps)) {
            VirtioSharedMemoryMapping *mapping = QTAILQ_FIRST(&shmem->mmaps);

            virtio_del_shmem_map(shmem, mapping->offset, mapping->mr->size);
        }
    }
    memory_region_transaction_commit();
}

void style_device_unrealize(StyleDevice *style)
{
    VirtioSharedMemory *shmem, *next;

    style_device_reset(style);
    QSIMPLEQ_FOREACH_SAFE(shmem, &style->vhost_dev.vdev->shmem_list, entry, next)
    {
        memory_region_del_subregion(&style->shmembar, &shmem->mr);
    }
    memory_region_unref(&style->shmembar);
}
