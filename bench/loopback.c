/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: loopback SOCKET. A net device that sends each packet back. scripts/bench gives it to the virtio-user driver of
 * testpmd. The driver sends on queue 1 and receives on queue 0. Like DPDK's vhost, the device polls and gets no kicks, and
 * takes bursts of 32. It copies each packet once, from one buffer of the driver to another. It ends with its front-end.
 */
#include "loopback.h"

#include <vhushmem/vhushmem.h>

static bool is_gone, runs[2];

static void note_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    is_gone |= event->type == VHUSHMEM_BACKEND_DISCONNECT;
}

static void note_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                       void *user_data)
{
    (void)message;
    (void)user_data;
    if (queue <= SEND && event != VHUSHMEM_QUEUE_KICKED) {
        runs[queue] = event == VHUSHMEM_QUEUE_STARTED;
        if (runs[queue]) {
            vhushmem_backend_set_kicks(backend, queue, false, NULL);
        }
    }
}

/* Packets here have one buffer each. */
static uint32_t copy(vhushmem_chain *from, vhushmem_chain *to)
{
    size_t pieces, room;
    const struct iovec *source = vhushmem_chain_readable(from, &pieces), *target = vhushmem_chain_writable(to, &room);
    return pieces == 1 && room > 0 ? copy_packet(source, target) : 0;
}

static void turn(vhushmem_backend *backend)
{
    vhushmem_chain *sent[BURST], *received[BURST];
    uint32_t sizes[BURST], none[BURST] = {0};
    int count = vhushmem_backend_pop_many(backend, SEND, sent, BURST, NULL);
    if (count <= 0) {
        return;
    }
    int room = vhushmem_backend_pop_many(backend, RECEIVE, received, (size_t)count, NULL);
    room = room < 0 ? 0 : room;
    for (int i = 0; i < room; i++) {
        size_t pieces;
        const struct iovec *target = vhushmem_chain_writable(received[i], &pieces);
        if (pieces > 0) {
            touch(target);
        }
    }
    for (int i = 0; i < room; i++) {
        sizes[i] = copy(sent[i], received[i]);
    }
    if (room > 0) {
        vhushmem_backend_push_many(backend, RECEIVE, received, sizes, (size_t)room, NULL);
    }
    /* A packet without room is lost, as on a cable. */
    vhushmem_backend_push_many(backend, SEND, sent, none, (size_t)count, NULL);
}

int main(int argc, char **argv)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 2, .config_size = 12};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = note_queue};
    GError *error = NULL;
    vhushmem_backend *backend = vhushmem_backend_new(&options, &error);
    if (argc != 2 || backend == NULL || vhushmem_backend_set_callback(backend, note_event, NULL, NULL) < 0 ||
        vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error) < 0 ||
        vhushmem_backend_listen(backend, argv[1], &error) < 0) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "usage: loopback SOCKET");
        return 1;
    }
    printf("listens\n");
    fflush(stdout);
    for (unsigned idle = 0; !is_gone; idle++) {
        if (!runs[RECEIVE] || !runs[SEND] || idle % IDLE == 0) {
            vhushmem_backend_dispatch(backend);
        }
        if (runs[RECEIVE] && runs[SEND]) {
            turn(backend);
        }
    }
    vhushmem_backend_free(backend);
    return 0;
}
