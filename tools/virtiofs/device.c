/* SPDX-License-Identifier: BSD-3-Clause */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "device.h"

#include <string.h>

#include "request.h"
#include "statistics.h"

/* The most requests in a turn. A guest that fills its queue all the time does not keep this process from its front-end. */
#define REQUESTS_A_TURN 256
/*
 * The most requests that are taken at once. Each is given back alone: an answer does not wait for the disk that a later request
 * needs.
 */
#define REQUESTS_AT_ONCE 16

static void serve(struct device *device, unsigned queue)
{
    vhushmem_chain *chains[REQUESTS_AT_ONCE];
    unsigned served = 0;
    int taken;

    device->pending &= ~(UINT64_C(1) << queue);
    while (served < REQUESTS_A_TURN &&
           (taken = vhushmem_backend_pop_many(device->backend, queue, chains, REQUESTS_AT_ONCE, NULL)) > 0) {
        for (int i = 0; i < taken; i++) {
            request_serve(&device->fs, &device->window, device->backend, queue, chains[i]);
        }
        served += (unsigned)taken;
    }
    if (served >= REQUESTS_A_TURN) {
        device->pending |= UINT64_C(1) << queue;
    }
    if (served > 0) {
        vhushmem_backend_notify(device->backend, queue, NULL);
    }
}

void device_serve_pending(struct device *device)
{
    for (unsigned queue = 0; queue < device->queues && device->pending != 0; queue++) {
        if ((device->pending >> queue & 1) != 0) {
            serve(device, queue);
        }
    }
}

/* ---- handlers of the back-end ---- */

static void on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    struct device *device = user_data;

    (void)backend;
    switch (event) {
    case VHUSHMEM_QUEUE_STARTED:
        break;
    case VHUSHMEM_QUEUE_KICKED:
        serve(device, queue);
        break;
    case VHUSHMEM_QUEUE_BROKEN:
        g_message("%s", message);
        G_GNUC_FALLTHROUGH;
    case VHUSHMEM_QUEUE_STOPPED:
        device->pending &= ~(UINT64_C(1) << queue);
        window_queue_stopped(&device->window, queue, event == VHUSHMEM_QUEUE_BROKEN);
        break;
    }
}

static int on_get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    const struct device *device = user_data;

    (void)backend;
    memcpy(buf, device->config + offset, len);
    return 0;
}

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    struct device *device = user_data;

    (void)backend;
    switch (event->type) {
    case VHUSHMEM_BACKEND_CONNECTED:
        device->is_connected = true;
        break;
    case VHUSHMEM_BACKEND_NEGOTIATED:
        break;
    case VHUSHMEM_BACKEND_DISCONNECT:
        device->is_connected = false;
        g_message("the front-end is gone: %s", event->message);
        if (device->fs.config.statistics) {
            statistics_print();
        }
        G_GNUC_FALLTHROUGH;
    case VHUSHMEM_BACKEND_RESET:
        device->pending = 0;
        window_lost(&device->window);
        fs_forget_all(&device->fs);
        break;
    }
}

/* ---- life ---- */

/*
 * A VMM that stands still answers when it goes on: on a busy machine, after a snapshot, after a look with a debugger. If the device gave up,
 * its guest would lose DAX until it boots again. Nothing here waits for an answer, so it may take a day.
 */
#define ANSWER_TIMEOUT_MS (24u * 60 * 60 * 1000)

static void fill_config(struct device *device, const struct options *options)
{
    uint32_t request_queues = GUINT32_TO_LE(options->request_queues);
    const char *tag = options->tag != NULL ? options->tag : "vhushmem";

    memcpy(device->config, tag, MIN(strlen(tag), DEVICE_TAG_SIZE));
    memcpy(device->config + DEVICE_TAG_SIZE, &request_queues, sizeof(request_queues));
}

int device_init(struct device *device, const struct options *options, GError **errp)
{
    vhushmem_backend_options how = {
        .struct_size = sizeof(how),
        .num_queues = 1 + options->request_queues,
        .features = UINT64_C(1) << 28 | UINT64_C(1) << 29, /* indirect descriptors, event indices */
        .config_size = DEVICE_CONFIG_SIZE,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
        .flags = options->for_qemu ? VHUSHMEM_BACKEND_FOR_QEMU : 0,
    };
    const vhushmem_backend_handlers handlers = {
        .struct_size = sizeof(handlers), .queue = on_queue, .get_config = on_get_config};
    int rc;

    memset(device, 0, sizeof(*device));
    device->queues = how.num_queues;
    fill_config(device, options);
    device->backend = vhushmem_backend_new(&how, errp);
    if (device->backend == NULL) {
        return -1;
    }
    window_init(&device->window, device->backend, &device->fs, options->window, options->for_qemu);
    rc = vhushmem_backend_set_callback(device->backend, on_event, device, NULL);
    if (rc == 0) {
        rc = vhushmem_backend_set_handlers(device->backend, &handlers, device, NULL, errp);
    }
    if (rc == 0 && options->window > 0) {
        rc = vhushmem_backend_add_region(device->backend, WINDOW_SHMID, options->window, errp);
    }
    if (rc < 0) {
        vhushmem_backend_free(device->backend);
        device->backend = NULL;
    }
    return rc;
}

void device_close(struct device *device)
{
    vhushmem_backend_free(device->backend);
    window_destroy(&device->window);
    fs_close(&device->fs);
}
