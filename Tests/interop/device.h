/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_INTEROP_DEVICE_H
#define VHUSHMEM_INTEROP_DEVICE_H

/*
 * What the devices here have in common: a back-end of the library that listens at a socket (or
 * connects to it), serves one front-end after another, and reports events on its standard
 * output. `device-KIND SOCKET [client] [FILE]`.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#define BIT(n) (UINT64_C(1) << (n))
#define DEVICE_REGIONS 8
#define RING_FEATURES (BIT(28) | BIT(29)) /* indirect descriptors, event indices */

struct device {
    uint64_t features;
    uint64_t protocol_features;            /* 0: the library's default offer */
    uint64_t region_sizes[DEVICE_REGIONS]; /* bytes of shared memory regions; 0: no region */
    unsigned queues;
    const void *config;
    uint32_t config_size;
    /* Serves a chain. Returns how many bytes were written; negative: not now, the chain is put
       back. */
    int64_t (*serve)(struct device *device, unsigned queue, vhushmem_chain *chain);
    /* Called after all chains of the queue were served; or NULL. */
    void (*served)(struct device *device, unsigned queue);
    vhushmem_backend *backend;
    int file;
    uint64_t size; /* of the file, in bytes */
    bool is_gone;
};

static void device_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event,
                         const char *message, void *user_data)
{
    static const char *const names[] = {"?", "started", "kicked", "stopped", "broken"};
    struct device *device = user_data;
    vhushmem_chain *chain;

    if (event != VHUSHMEM_QUEUE_KICKED) {
        printf("device  queue %u %s %s\n", queue, names[event], message != NULL ? message : "");
        if (event == VHUSHMEM_QUEUE_STARTED) {
            printf("device  protocol features 0x%" PRIx64 "\n",
                   vhushmem_backend_protocol_features(backend));
        }
        return;
    }
    while ((chain = vhushmem_backend_pop(backend, queue, NULL)) != NULL) {
        int64_t written = device->serve(device, queue, chain);
        if (written < 0) {
            vhushmem_backend_put_back(backend, chain, NULL);
            break;
        }
        if (vhushmem_backend_push(backend, chain, (uint32_t)written, NULL) < 0) {
            printf("device  a chain cannot be given back\n");
            vhushmem_chain_free(chain);
        }
    }
    vhushmem_backend_notify(backend, queue, NULL);
    if (device->served != NULL) {
        device->served(device, queue);
    }
}

static int device_get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len,
                             void *user_data)
{
    struct device *device = user_data;
    (void)backend;
    memcpy(buf, (const char *)device->config + offset, len);
    return 0;
}

static int device_set_config(vhushmem_backend *backend, uint32_t offset, const void *buf,
                             uint32_t len, unsigned flags, void *user_data)
{
    (void)backend;
    (void)buf;
    (void)user_data;
    printf("device  %u bytes of configuration written at %u, flags %u\n", len, offset, flags);
    return 0;
}

static void device_event(vhushmem_backend *backend, const vhushmem_backend_event *event,
                         void *user_data)
{
    static const char *const names[] = {"?", "connected", "negotiated", "reset", "disconnected"};
    struct device *device = user_data;
    (void)backend;
    printf("device  %s %s\n", names[event->type], event->message != NULL ? event->message : "");
    device->is_gone |= event->type == VHUSHMEM_BACKEND_DISCONNECT;
}

static inline void device_open(struct device *device, const char *path)
{
    struct stat status;
    device->file = open(path, O_RDWR | O_CLOEXEC);
    if (device->file < 0 || fstat(device->file, &status) < 0) {
        perror(path);
        exit(1);
    }
    device->size = (uint64_t)status.st_size;
}

static inline int device_run(struct device *device, int argc, char **argv)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .num_queues = device->queues,
                                        .features = device->features | RING_FEATURES,
                                        .protocol_features = device->protocol_features,
                                        .config_size = device->config_size};
    vhushmem_backend_handlers handlers = {
        .struct_size = sizeof(handlers),
        .queue = device_queue,
        .get_config = device->config_size > 0 ? device_get_config : NULL,
        .set_config = device->config_size > 0 ? device_set_config : NULL};
    bool connects = argc > 2 && strcmp(argv[2], "client") == 0;
    struct pollfd ready = {.events = POLLIN};
    GError *error = NULL;
    int rc;

    setvbuf(stdout, NULL, _IOLBF, 0);
    device->backend = vhushmem_backend_new(&options, &error);
    if (device->backend == NULL ||
        vhushmem_backend_set_callback(device->backend, device_event, device, NULL) < 0 ||
        vhushmem_backend_set_handlers(device->backend, &handlers, device, NULL, &error) < 0) {
        printf("device  FAILED: %s\n", error->message);
        return 1;
    }
    for (unsigned i = 0; i < DEVICE_REGIONS; i++) {
        if (device->region_sizes[i] > 0 &&
            vhushmem_backend_add_region(device->backend, (uint8_t)i, device->region_sizes[i],
                                        &error) < 0) {
            printf("device  FAILED: %s\n", error->message);
            return 1;
        }
    }
    rc = connects ? vhushmem_backend_connect(device->backend, argv[1], &error)
                  : vhushmem_backend_listen(device->backend, argv[1], &error);
    if (rc < 0) {
        printf("device  FAILED: %s\n", error->message);
        return 1;
    }
    printf("device  %s\n", connects ? "connects" : "listens");
    ready.fd = vhushmem_backend_get_fd(device->backend);
    while (!(connects && device->is_gone)) {
        if (poll(&ready, 1, -1) > 0) {
            vhushmem_backend_dispatch(device->backend);
        }
    }
    vhushmem_backend_free(device->backend);
    return 0;
}

#endif
