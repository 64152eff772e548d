/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * channel-only SOCKET: a VMM that has its own vhost-user front-end (own-frontend.h) and gives the back-end channel to the
 * library.
 *
 * It connects to the device of backend.c, gives its end of SET_BACKEND_REQ_FD to a vhushmem_channel, and polls the channel
 * together with the connection. It looks at the device's memory (stand-in.h) and waits until the device has undone its
 * mappings. Then it resets the device in the order that refuses late requests. Each wait has a time limit. The exit status is 0
 * only if everything was right.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include <vhushmem/vhushmem.h>

#include "control.h"
#include "own-frontend.h"
#include "stand-in.h"

#define PATIENCE_MS 60000
#define CONFIG_CHANGE_MSG 2

struct vmm {
    struct own_frontend frontend;
    vhushmem_device *device;
    vhushmem_region *region;
    vhushmem_channel *channel;
    bool answered; /* the device has the answer that it waited for */
    bool emptied;  /* and it has undone its mappings */
    bool failed;
};

/* ---- the channel ---- */

/** The library serves MAP and UNMAP. This function only learns of them. */
static void on_event(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    struct vmm *vmm = user_data;

    (void)channel;
    if (event->type == VHUSHMEM_EVENT_CHANNEL_LOST) {
        fprintf(stderr, "vmm     FAILED: %s\n", event->message);
        vmm->failed = true;
        return;
    }
    printf("vmm     %s 0x%07" PRIx64 " +0x%" PRIx64 ": %s\n",
           event->type == VHUSHMEM_EVENT_MAP     ? "map  "
           : event->type == VHUSHMEM_EVENT_UNMAP ? "unmap"
                                                 : "other",
           event->shm_offset, event->len, event->message != NULL ? event->message : "done");
    if (event->type == VHUSHMEM_EVENT_UNMAP) {
        vmm->failed |= event->result != 0 || !vmm->answered;
        vmm->emptied = vhushmem_region_mapping_count(vmm->region) == 0;
    }
}

/** The VMM itself serves each other request, as it did without the library. */
static int on_request(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel;
    (void)user_data;
    switch (request->request) {
    case CONFIG_CHANGE_MSG: /* a VMM would interrupt its guest here */
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

/**
 * Wait for the channel and for the connection, at most 5 ms, and serve the channel. `revents`: the events of the connection.
 */
static bool serve(struct vmm *vmm, short *revents)
{
    struct pollfd wait[2] = {
        {.fd = vhushmem_channel_get_fd(vmm->channel), .events = (short)vhushmem_channel_get_events(vmm->channel)},
        {.fd = vmm->frontend.main, .events = POLLIN},
    };

    if (poll(wait, 2, 5) < 0 && errno != EINTR) {
        fprintf(stderr, "vmm     FAILED: cannot poll: %s\n", g_strerror(errno));
        vmm->failed = true;
    }
    if (wait[0].revents != 0) {
        vhushmem_channel_dispatch(vmm->channel);
    }
    *revents = wait[1].revents;
    return !vmm->failed;
}

static bool is_late(struct vmm *vmm, gint64 began)
{
    if (g_get_monotonic_time() - began < PATIENCE_MS * (gint64)1000) {
        return false;
    }
    fprintf(stderr, "vmm     FAILED: not done after %d seconds\n", PATIENCE_MS / 1000);
    vmm->failed = true;
    return true;
}

static bool look_at_device(struct vmm *vmm)
{
    gint64 began = g_get_monotonic_time();
    short revents;

    while (!vmm->emptied) {
        if (!serve(vmm, &revents) || is_late(vmm, began)) {
            return false;
        }
        if (revents != 0) {
            fprintf(stderr, "vmm     FAILED: the device went away, or says what nobody asked for\n");
            return false;
        }
        if (!vmm->answered) {
            int rc = stand_in_look(vmm->region);

            if (rc < 0) {
                return false;
            }
            vmm->answered = rc > 0;
        }
    }
    return true;
}

/**
 * Between begin and end the library refuses each request. It also refuses a request that came before the device reported its
 * reset.
 */
static bool reset(struct vmm *vmm)
{
    gint64 began = g_get_monotonic_time();
    short revents = 0;

    if (vhushmem_channel_begin_reset(vmm->channel) < 0 || own_frontend_send_reset(&vmm->frontend) < 0) {
        return false;
    }
    /* The device may wait for an answer on the channel. It would not read the reset before it has the answer. */
    while (revents == 0) {
        if (!serve(vmm, &revents) || is_late(vmm, began)) {
            return false;
        }
    }
    return own_frontend_receive_reset(&vmm->frontend) == 0 && vhushmem_channel_end_reset(vmm->channel) == 0;
}

/* ---- beginning and end ---- */

/** Make a region of the library for each region that the back-end has. */
static bool make_regions(struct vmm *vmm, GError **error)
{
    vmm->device = vhushmem_device_new(NULL, error);
    if (vmm->device == NULL) {
        return false;
    }
    for (unsigned id = 0; id < VIRTIO_MAX_SHMEM_REGIONS; id++) {
        uint64_t size = vmm->frontend.config.memory_sizes[id];

        if (size == 0) {
            continue;
        }
        vhushmem_region *region = vhushmem_region_new(vmm->device, (uint8_t)id, size, NULL, error);
        if (region == NULL) {
            return false;
        }
        printf("vmm     region %u: %" PRIu64 " MiB, window at %p\n", id, size >> 20, vhushmem_region_window(region));
    }
    vmm->region = vhushmem_device_find_region(vmm->device, CONTROL_SHMID);
    return vmm->region != NULL;
}

static bool begin(struct vmm *vmm, const char *socket_path)
{
    GError *error = NULL;

    if (own_frontend_connect(&vmm->frontend, socket_path) < 0) {
        return false;
    }
    if (make_regions(vmm, &error)) {
        vmm->channel = vhushmem_channel_new(vmm->frontend.channel, vmm->device, NULL, &error);
    }
    if (vmm->channel == NULL) {
        fprintf(stderr, "vmm     FAILED: %s\n", error != NULL ? error->message : "the device lacks a region");
        g_clear_error(&error);
        return false;
    }
    vmm->frontend.channel = -1; /* the library owns it now */
    return vhushmem_channel_set_callback(vmm->channel, on_event, vmm, NULL) == 0 &&
           vhushmem_channel_set_request_callback(vmm->channel, on_request, vmm, NULL) == 0;
}

int main(int argc, char **argv)
{
    struct vmm vmm = {.frontend = {.main = -1, .channel = -1}};
    bool done;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    done = begin(&vmm, argv[1]) && look_at_device(&vmm) && reset(&vmm) && !vmm.failed;
    vhushmem_channel_free(vmm.channel);
    vhushmem_device_unref(vmm.device);
    own_frontend_close(&vmm.frontend);
    if (done) {
        printf("vmm     every mapping came, was looked at, and went; the device was reset\n");
    }
    return done ? 0 : 1;
}
