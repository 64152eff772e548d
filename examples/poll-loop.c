/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * poll-loop SOCKET: the library's whole front-end in a loop of plain poll(2), without a GMainLoop.
 *
 * It connects to the device of backend.c and serves it from one descriptor, which epoll could watch too. While the device shows
 * its file, the host looks at it in the guest's place (stand-in.h). Each wait has a time limit. The exit status is 0 only if
 * everything was right.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include <vhushmem/vhushmem.h>

#include "control.h"
#include "stand-in.h"

#define PATIENCE_MS 60000

struct vmm {
    vhushmem_region *region; /* NULL: the handshake is not complete */
    bool answered;           /* the device has the answer that it waited for */
    bool finished;           /* and it has undone its mappings */
    bool failed;
};

static void on_ready(struct vmm *vmm, vhushmem_frontend *frontend)
{
    vmm->region = vhushmem_device_find_region(vhushmem_frontend_device(frontend), CONTROL_SHMID);
    if (vmm->region == NULL) {
        fprintf(stderr, "vmm     FAILED: the device has no region %d\n", CONTROL_SHMID);
        vmm->failed = true;
        return;
    }
    printf("vmm     region %d: %" PRIu64 " MiB, window at %p\n", CONTROL_SHMID, vhushmem_region_size(vmm->region) >> 20,
           vhushmem_region_window(vmm->region));
}

static void on_request(struct vmm *vmm, const vhushmem_event *event)
{
    printf("vmm     %s 0x%07" PRIx64 " +0x%" PRIx64 ": %s\n", event->type == VHUSHMEM_EVENT_MAP ? "map  " : "unmap",
           event->shm_offset, event->len, event->message != NULL ? event->message : "done");
    if (event->type == VHUSHMEM_EVENT_UNMAP) {
        vmm->failed |= event->result != 0 || !vmm->answered;
        vmm->finished = vhushmem_region_mapping_count(vmm->region) == 0;
    }
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    struct vmm *vmm = user_data;

    switch (event->type) {
    case VHUSHMEM_EVENT_READY:
        on_ready(vmm, frontend);
        break;
    case VHUSHMEM_EVENT_MAP:
    case VHUSHMEM_EVENT_UNMAP:
        on_request(vmm, event);
        break;
    default:
        fprintf(stderr, "vmm     FAILED: %s\n", event->message != NULL ? event->message : "an event that was not expected");
        vmm->failed = true;
        break;
    }
}

/** @returns false: it took too long, or something failed. */
static bool run(struct vmm *vmm, vhushmem_frontend *frontend)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_MS * (gint64)1000;
    /* One descriptor for the connection, the channel and every time limit. It never changes. A VMM polls others too. */
    struct pollfd wait = {
        .fd = vhushmem_frontend_get_fd(frontend),
        .events = (short)vhushmem_frontend_get_events(frontend),
    };

    while (!vmm->finished && !vmm->failed) {
        if (g_get_monotonic_time() > deadline) {
            fprintf(stderr, "vmm     FAILED: not done after %d seconds\n", PATIENCE_MS / 1000);
            return false;
        }
        /* A change of memory wakes no process: until the device has its answer, look every 5 ms. */
        if (poll(&wait, 1, vmm->answered ? 1000 : 5) < 0 && errno != EINTR) {
            fprintf(stderr, "vmm     FAILED: cannot poll: %s\n", g_strerror(errno));
            return false;
        }
        if (wait.revents != 0) {
            vhushmem_frontend_dispatch(frontend);
        }
        if (vmm->region != NULL && !vmm->answered && !vmm->failed) {
            int rc = stand_in_look(vmm->region);

            vmm->answered = rc > 0;
            vmm->failed = rc < 0;
        }
    }
    return !vmm->failed;
}

int main(int argc, char **argv)
{
    struct vmm vmm = {.region = NULL};
    vhushmem_frontend *frontend;
    GError *error = NULL;
    bool done;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    frontend = vhushmem_frontend_new(argv[1], NULL, &error);
    if (frontend == NULL || vhushmem_frontend_set_callback(frontend, on_event, &vmm, NULL) < 0 ||
        vhushmem_frontend_start(frontend, &error) < 0) {
        fprintf(stderr, "vmm     FAILED: %s\n", error != NULL ? error->message : "no callback");
        g_clear_error(&error);
        vhushmem_frontend_free(frontend);
        return 1;
    }
    done = run(&vmm, frontend);
    vhushmem_frontend_free(frontend);
    if (done) {
        printf("vmm     every mapping came, was looked at, and went\n");
    }
    return done ? 0 : 1;
}
