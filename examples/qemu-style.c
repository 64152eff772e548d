/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * qemu-style SOCKET: a device that a QEMU developer knows at sight: realize, the handler of back-end requests, reset and unrealize, with the
 * names of the patch series alone. (The one word of this library's own makes the VirtIODevice, in main.)
 *
 * It reads the messages of the back-end channel itself (the connection is own-frontend.h's), maps and unmaps with virtio_* functions,
 * and has a MemoryListener in the place of KVM's: region_add and region_del come before the answer, commit after it. It talks to the
 * device of backend.c, which the host looks at in a guest's place (stand-in.h). Nothing waits for ever; the exit status is 0 only if
 * everything held.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <vhushmem/device.h> /* for main */
#include <vhushmem/series.h>

#include "control.h"
#include "own-frontend.h"
#include "stand-in.h"

#define PATIENCE_S 60

/* ---- in the place of KVM's listener ---- */

struct slots {
    MemoryListener listener; /* first: what a callback gets is this struct */
    unsigned live, added, commits;
};

static void slot_add(MemoryListener *listener, MemoryRegionSection *section)
{
    struct slots *slots = (struct slots *)listener;

    slots->live++;
    slots->added++;
    printf("slots   add 0x%07" PRIx64 " +0x%" PRIx64 " at %p%s\n", section->offset_within_region, section->size, section->host,
           section->readonly ? ", read-only" : "");
}

static void slot_del(MemoryListener *listener, MemoryRegionSection *section)
{
    struct slots *slots = (struct slots *)listener;

    slots->live--;
    printf("slots   del 0x%07" PRIx64 " +0x%" PRIx64 "\n", section->offset_within_region, section->size);
}

static void slots_commit(MemoryListener *listener) { ((struct slots *)listener)->commits++; }

/* ---- the device ---- */

struct style_device {
    VirtIODevice *vdev;
    MemoryRegion bar;
    struct slots slots;
};

/** The regions that the back-end told of, in one BAR that a listener watches. */
static bool style_realize(struct style_device *device, const VhostUserShMemConfig *config, GError **errp)
{
    VirtioSharedMemory *shmem;
    uint64_t bar_size = 0;
    hwaddr offset = 0;

    for (int i = 0; i < VIRTIO_MAX_SHMEM_REGIONS; i++) {
        if (config->memory_sizes[i] == 0) {
            continue;
        }
        if (virtio_new_shmem_region(device->vdev, (uint8_t)i, config->memory_sizes[i]) == NULL) {
            g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL, "no region %d of 0x%" PRIx64 " bytes", i,
                        config->memory_sizes[i]);
            return false;
        }
        bar_size += config->memory_sizes[i];
    }
    memory_region_init(&device->bar, OBJECT(device->vdev), "shmem-bar", bar_size);
    QSIMPLEQ_FOREACH(shmem, &device->vdev->shmem_list, entry)
    {
        memory_region_add_subregion(&device->bar, offset, &shmem->mr);
        offset += memory_region_size(&shmem->mr);
    }
    device->slots.listener =
        (MemoryListener){.region_add = slot_add, .region_del = slot_del, .commit = slots_commit, .name = "slots"};
    memory_listener_register(&device->slots.listener, &device->bar);
    return true;
}

static void style_reset(struct style_device *device)
{
    VirtioSharedMemory *shmem;

    memory_region_transaction_begin();
    QSIMPLEQ_FOREACH(shmem, &device->vdev->shmem_list, entry)
    {
        while (!QTAILQ_EMPTY(&shmem->mmaps)) {
            VirtioSharedMemoryMapping *mapping = QTAILQ_FIRST(&shmem->mmaps);

            virtio_del_shmem_map(shmem, mapping->offset, mapping->len);
        }
    }
    memory_region_transaction_commit();
}

static void style_unrealize(struct style_device *device)
{
    VirtioSharedMemory *shmem;

    style_reset(device);
    memory_listener_unregister(&device->slots.listener);
    QSIMPLEQ_FOREACH(shmem, &device->vdev->shmem_list, entry) { memory_region_del_subregion(&device->bar, &shmem->mr); }
    memory_region_unref(&device->bar);
}

/* ---- the handler ---- */

static int handle_shmem_map(VirtIODevice *vdev, const VhostUserMMap *map, int fd)
{
    VirtioSharedMemory *shmem = virtio_find_shmem_region(vdev, map->shmid);
    VirtioSharedMemoryMapping *mapping, *existing;
    int rc;

    if (shmem == NULL) {
        return -ENOENT;
    }
    if (map->shm_offset + map->len < map->len || map->shm_offset + map->len > memory_region_size(&shmem->mr)) {
        return -EINVAL;
    }
    QTAILQ_FOREACH(existing, &shmem->mmaps, link)
    {
        if (existing->offset < map->shm_offset + map->len && map->shm_offset < existing->offset + existing->len) {
            return -EEXIST;
        }
    }
    if (fd < 0 || (map->flags & ~(uint64_t)VHOST_USER_FLAG_MAP_RW) != 0) {
        return -EINVAL;
    }
    mapping = virtio_shared_memory_mapping_new(map->shmid, fd, map->fd_offset, map->shm_offset, map->len,
                                               (map->flags & VHOST_USER_FLAG_MAP_RW) != 0);
    if (mapping == NULL) {
        return -EFAULT; /* there is something about the file */
    }
    rc = virtio_add_shmem_map(shmem, mapping);
    if (rc < 0) {
        object_unref(OBJECT(mapping)); /* it has stayed ours */
    }
    return rc;
}

static int handle_shmem_unmap(VirtIODevice *vdev, const VhostUserMMap *map)
{
    VirtioSharedMemory *shmem = virtio_find_shmem_region(vdev, map->shmid);

    if (shmem == NULL || virtio_find_shmem_map(shmem, map->shm_offset, map->len) == NULL) {
        return -ENOENT;
    }
    virtio_del_shmem_map(shmem, map->shm_offset, map->len);
    return virtio_find_shmem_map(shmem, map->shm_offset, map->len) == NULL ? 0 : -ENOMEM;
}

struct backend_request {
    VhostUserHeader header;
    VhostUserMMap map; /* as much as came of it; zeros */
    int fd;            /* ours to close; -1: none came, or too many */
};

static void take_descriptors(struct backend_request *request, struct msghdr *message)
{
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        for (size_t at = 0; c->cmsg_type == SCM_RIGHTS && CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            if (count++ > 0) {
                close(request->fd);
            }
            request->fd = fd;
        }
    }
    if (count > 1) {
        close(request->fd);
        request->fd = -1;
    }
}

/** The descriptors come with the first byte, so with the header. @returns false: the channel is of no more use. */
static bool read_request(int channel, struct backend_request *request)
{
    union {
        char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {&request->header, sizeof(request->header)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};

    memset(request, 0, sizeof(*request));
    request->fd = -1;
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)sizeof(request->header)) {
        return false;
    }
    take_descriptors(request, &message);
    /* Only what this handler serves is as long as this. A handler of more would skip the rest, and refuse. */
    if (request->header.size > sizeof(request->map) ||
        recv(channel, &request->map, request->header.size, MSG_WAITALL) != (ssize_t)request->header.size) {
        if (request->fd >= 0) {
            close(request->fd);
        }
        return false;
    }
    return true;
}

static bool answer(int channel, const struct backend_request *request, int result)
{
    struct {
        VhostUserHeader header;
        uint8_t value[sizeof(uint64_t)]; /* no padding before it */
    } reply = {.header = {request->header.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, sizeof(uint64_t)}};
    uint64_t value = (uint64_t)(int64_t)result;

    if ((request->header.flags & VHOST_USER_NEED_REPLY_MASK) == 0) {
        return true;
    }
    memcpy(reply.value, &value, sizeof(value));
    return send(channel, &reply, sizeof(reply), MSG_NOSIGNAL) == (ssize_t)sizeof(reply);
}

/** One request. Listeners are told of the change at once, and of its commit when the transaction ends: after the answer. */
static bool serve_request(int channel, VirtIODevice *vdev)
{
    struct backend_request request;
    bool is_whole, answered;
    int result = -EINVAL;

    if (!read_request(channel, &request)) {
        return false;
    }
    is_whole = request.header.size == sizeof(request.map);
    memory_region_transaction_begin();
    if (request.header.request == VHOST_USER_BACKEND_SHMEM_MAP && is_whole) {
        result = handle_shmem_map(vdev, &request.map, request.fd);
    } else if (request.header.request == VHOST_USER_BACKEND_SHMEM_UNMAP && is_whole && request.fd < 0) {
        result = handle_shmem_unmap(vdev, &request.map);
    }
    if (request.fd >= 0) {
        close(request.fd);
    }
    printf("vmm     request %u for 0x%07" PRIx64 " +0x%" PRIx64 ": %s\n", request.header.request, request.map.shm_offset,
           request.map.len, result == 0 ? "done" : strerror(-result));
    answered = answer(channel, &request, result);
    memory_region_transaction_commit();
    return answered;
}

/* ---- the VMM ---- */

/** A page of RAM from a file, in a container of its own: what the other memory_region functions are for. */
static bool has_ram(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    MemoryRegion bar = {0}, ram = {0};
    GError *error = NULL;
    char text[6] = "";
    int fd = memfd_create("qemu-style", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)page) < 0) {
        return false;
    }
    memory_region_init(&bar, NULL, "bar", 16 * page);
    if (!memory_region_init_ram_from_fd(&ram, NULL, "ram", page, RAM_SHARED, fd, 0, &error)) {
        fprintf(stderr, "vmm     FAILED: %s\n", error->message);
        g_error_free(error);
        close(fd);
        memory_region_unref(&bar);
        return false;
    }
    memory_region_add_subregion(&bar, 4 * page, &ram);
    memcpy(memory_region_get_ram_ptr(&ram), "hello", sizeof(text));
    bool is_there = pread(memory_region_get_fd(&ram), text, sizeof(text), 0) == (ssize_t)sizeof(text) &&
                    strcmp(text, "hello") == 0 && ram.container == &bar && memory_region_size(&ram) == page;
    memory_region_del_subregion(&bar, &ram);
    memory_region_unref(&ram); /* closes fd */
    memory_region_unref(&bar);
    return is_there;
}

/** Serve the channel until the device has been looked at and nothing is mapped any more. */
static bool run(struct own_frontend *frontend, VirtIODevice *vdev, VirtioSharedMemory *shmem, const struct slots *slots)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
    bool answered = false;

    if (setsockopt(frontend->channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        return false;
    }
    while (!answered || slots->live > 0) {
        struct pollfd wait = {.fd = frontend->channel, .events = POLLIN};

        if (poll(&wait, 1, 5) > 0 && !serve_request(frontend->channel, vdev)) {
            fprintf(stderr, "vmm     FAILED: the channel is lost\n");
            return false;
        }
        if (!answered) {
            int rc = stand_in_look(shmem);

            if (rc < 0) {
                return false;
            }
            answered = rc > 0;
        }
        if (g_get_monotonic_time() > deadline) {
            fprintf(stderr, "vmm     FAILED: not done after %d seconds\n", PATIENCE_S);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct style_device device = {0};
    const struct slots *slots = &device.slots;
    struct own_frontend frontend;
    VirtioSharedMemory *shmem;
    GError *error = NULL;
    bool done = false;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (own_frontend_connect(&frontend, argv[1]) < 0) {
        return 1;
    }
    device.vdev = vhushmem_device_new(NULL, NULL);
    if (!style_realize(&device, &frontend.config, &error)) {
        fprintf(stderr, "vmm     FAILED: %s\n", error->message);
        g_error_free(error);
        object_unref(OBJECT(device.vdev));
        own_frontend_close(&frontend);
        return 1;
    }
    shmem = virtio_find_shmem_region(device.vdev, CONTROL_SHMID);
    if (shmem != NULL) {
        printf("vmm     region %d: %" PRIu64 " MiB, window at %p\n", shmem->shmid, memory_region_size(&shmem->mr) >> 20,
               memory_region_get_ram_ptr(&shmem->mr));
        done = run(&frontend, device.vdev, shmem, slots) && has_ram();
    } else {
        fprintf(stderr, "vmm     FAILED: the device lacks region %d\n", CONTROL_SHMID);
    }
    style_unrealize(&device);
    /* A commit for each change, and none was left over. */
    if (done && (slots->added == 0 || slots->commits != 2 * slots->added)) {
        fprintf(stderr, "vmm     FAILED: %u commits for %u mappings\n", slots->commits, slots->added);
        done = false;
    }
    object_unref(OBJECT(device.vdev));
    own_frontend_close(&frontend);
    if (done) {
        printf("vmm     %u mappings came, were looked at, and went\n", slots->added);
    }
    return done ? 0 : 1;
}
