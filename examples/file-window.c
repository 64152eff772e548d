/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * file-window SOCKET FILE...: a whole device, to begin your own from. Its driver asks over a virtqueue for a range of one of
 * the files (file-window.h). The device has the front-end map the range read-only into shared memory, and answers with the
 * place. No byte of a file is copied.
 *
 * It listens at SOCKET, serves one front-end, and ends when that disconnects. It asks for a mapping only if its driver asks for
 * one, so never before the queue is started. If it may, it opens the files for writing too: QEMU takes no others
 * (docs/with-qemu.md). It trusts nothing that the driver writes.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#include "file-window.h"

#define PAGES (FILE_WINDOW_REGION_SIZE / FILE_WINDOW_PAGE)

/** The mapping that begins at one page of the region; len 0: none begins there. */
struct window_part {
    uint64_t len;
    uint64_t fd_offset;
    uint32_t file;
};

struct device {
    vhushmem_backend *backend;
    int *files;
    uint32_t nfiles;
    struct window_part parts[PAGES];
    bool gone;
};

/** First fit. @returns the offset, or -1: there is no room. */
static int64_t find_room(const struct device *device, uint64_t len)
{
    uint64_t wanted = len / FILE_WINDOW_PAGE, free = 0;

    for (uint64_t page = 0; page < PAGES; page++) {
        if (device->parts[page].len != 0) {
            page += device->parts[page].len / FILE_WINDOW_PAGE - 1;
            free = 0;
        } else if (++free == wanted) {
            return (int64_t)((page + 1 - wanted) * FILE_WINDOW_PAGE);
        }
    }
    return -1;
}

static int map(struct device *device, const struct file_window_request *request, uint64_t *shm_offset)
{
    int64_t room;
    int rc;

    if (request->file >= device->nfiles) {
        return -ENOENT;
    }
    if (request->len == 0 || request->len > FILE_WINDOW_REGION_SIZE || request->len % FILE_WINDOW_PAGE != 0) {
        return -EINVAL;
    }
    room = find_room(device, request->len);
    if (room < 0) {
        return -ENOSPC;
    }
    /* The front-end checks all else, such as the offset in the file. */
    rc = vhushmem_backend_map(device->backend, FILE_WINDOW_REGION, device->files[request->file], request->offset,
                              (uint64_t)room, request->len, 0, NULL);
    if (rc == 0) {
        device->parts[(uint64_t)room / FILE_WINDOW_PAGE] =
            (struct window_part){.len = request->len, .fd_offset = request->offset, .file = request->file};
        *shm_offset = (uint64_t)room;
    }
    return rc;
}

static int unmap(struct device *device, const struct file_window_request *request)
{
    struct window_part *part;
    int rc;

    if (request->offset % FILE_WINDOW_PAGE != 0 || request->offset >= FILE_WINDOW_REGION_SIZE) {
        return -EINVAL;
    }
    part = &device->parts[request->offset / FILE_WINDOW_PAGE];
    if (request->len == 0 || part->len != request->len) {
        return -ENOENT;
    }
    rc = vhushmem_backend_unmap(device->backend, FILE_WINDOW_REGION, request->offset, request->len, NULL);
    if (rc == 0) {
        part->len = 0;
    }
    return rc;
}

/**
 * Find out what is still mapped when a stopped queue runs again. QEMU stops a queue both for a pause and for a reset, and a
 * reset undoes all mappings. The driver has not put in its next request yet. So the device can unmap each mapping and map it
 * again: if it cannot be unmapped, it is gone.
 */
static void find_out_what_is_left(struct device *device)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        struct window_part *part = &device->parts[page];
        uint64_t shm_offset = page * FILE_WINDOW_PAGE;

        if (part->len != 0 && (vhushmem_backend_unmap(device->backend, FILE_WINDOW_REGION, shm_offset, part->len, NULL) < 0 ||
                               vhushmem_backend_map(device->backend, FILE_WINDOW_REGION, device->files[part->file],
                                                    part->fd_offset, shm_offset, part->len, 0, NULL) < 0)) {
            part->len = 0;
        }
    }
}

/** @returns how many bytes were written. */
static uint32_t serve(struct device *device, vhushmem_chain *chain)
{
    struct file_window_request request;
    struct file_window_reply reply = {.result = -EINVAL};

    /* It checks a copy, because the guest may change the original meanwhile. */
    if (vhushmem_chain_read(chain, 0, &request, sizeof(request)) == sizeof(request)) {
        request.op = le32toh(request.op);
        request.file = le32toh(request.file);
        request.offset = le64toh(request.offset);
        request.len = le64toh(request.len);
        if (request.op == FILE_WINDOW_MAP) {
            reply.result = map(device, &request, &reply.shm_offset);
        } else if (request.op == FILE_WINDOW_UNMAP) {
            reply.result = unmap(device, &request);
        } else {
            reply.result = -EOPNOTSUPP;
        }
        printf("device  %s of file %" PRIu32 ", 0x%" PRIx64 " bytes at 0x%" PRIx64 ": %d, at 0x%" PRIx64 "\n",
               request.op == FILE_WINDOW_MAP     ? "map"
               : request.op == FILE_WINDOW_UNMAP ? "unmap"
                                                 : "nonsense",
               request.file, request.len, request.offset, reply.result, reply.shm_offset);
    }
    reply.result = (int32_t)htole32((uint32_t)reply.result);
    reply.shm_offset = htole64(reply.shm_offset);
    return (uint32_t)vhushmem_chain_write(chain, 0, &reply, sizeof(reply));
}

static void on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    struct device *device = user_data;
    vhushmem_chain *chain;

    if (event == VHUSHMEM_QUEUE_STARTED) {
        find_out_what_is_left(device);
    }
    if (event == VHUSHMEM_QUEUE_BROKEN) {
        fprintf(stderr, "device  %s\n", message);
    }
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(backend, queue, NULL)) != NULL) {
        uint32_t written = serve(device, chain);

        if (vhushmem_backend_push(backend, chain, written, NULL) < 0) {
            vhushmem_chain_free(chain); /* the queue was stopped meanwhile */
        }
    }
    vhushmem_backend_notify(backend, queue, NULL);
}

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    struct device *device = user_data;

    (void)backend;
    if (event->type == VHUSHMEM_BACKEND_RESET || event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        memset(device->parts, 0, sizeof(device->parts)); /* the front-end has undone all mappings */
    }
    device->gone |= event->type == VHUSHMEM_BACKEND_DISCONNECT;
}

static int fail(const char *what, GError *error)
{
    fprintf(stderr, "device  FAILED: %s: %s\n", what, error != NULL ? error->message : strerror(errno));
    g_clear_error(&error);
    return 1;
}

int main(int argc, char **argv)
{
    static struct device device;
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        /* indirect descriptors and event indices */
                                        .features = UINT64_C(1) << 28 | UINT64_C(1) << 29,
                                        .flags = VHUSHMEM_BACKEND_FOR_QEMU};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    struct pollfd ready = {.events = POLLIN};
    GError *error = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: file-window SOCKET FILE...\n");
        return 2;
    }
    device.nfiles = (uint32_t)(argc - 2);
    device.files = calloc(device.nfiles, sizeof(*device.files));
    for (uint32_t i = 0; i < device.nfiles; i++) {
        device.files[i] = open(argv[2 + i], O_RDWR | O_CLOEXEC);
        if (device.files[i] < 0) {
            device.files[i] = open(argv[2 + i], O_RDONLY | O_CLOEXEC);
            options.flags = 0; /* with the flags, the device could not give this file to any front-end */
        }
        if (device.files[i] < 0) {
            return fail(argv[2 + i], NULL);
        }
    }
    device.backend = vhushmem_backend_new(&options, &error);
    if (device.backend == NULL || vhushmem_backend_set_callback(device.backend, on_event, &device, NULL) < 0 ||
        vhushmem_backend_set_handlers(device.backend, &handlers, &device, NULL, &error) < 0 ||
        vhushmem_backend_add_region(device.backend, FILE_WINDOW_REGION, FILE_WINDOW_REGION_SIZE, &error) < 0 ||
        vhushmem_backend_listen(device.backend, argv[1], &error) < 0) {
        return fail("starting", error);
    }
    ready.fd = vhushmem_backend_get_fd(device.backend);
    while (!device.gone) {
        if (poll(&ready, 1, -1) < 0 && errno != EINTR) {
            return fail("poll", NULL);
        }
        vhushmem_backend_dispatch(device.backend);
    }
    vhushmem_backend_free(device.backend);
    for (uint32_t i = 0; i < device.nfiles; i++) {
        close(device.files[i]);
    }
    free(device.files);
    return 0;
}
