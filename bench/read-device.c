/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: read-device SOCKET FILE. The least work of a vhost-user-blk for a read. Each chain is a header, room for data and a
 * status. One preadv reads the data into the driver's own buffer. It ends with its front-end. read-device-libvhost-user.c is
 * the same program with another library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/uio.h>

#include <vhushmem/vhushmem.h>

#define BURST 8 /* small: the driver uses the first blocks while the device reads the next */
#define MOST_PIECES 64

static int file;
static bool is_gone;

static void note_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    is_gone |= event->type == VHUSHMEM_BACKEND_DISCONNECT;
}

/* Returns how many bytes were written. */
static uint32_t serve(vhushmem_chain *chain)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header;
    struct iovec data[MOST_PIECES];
    uint64_t room = vhushmem_chain_writable_size(chain);
    uint8_t status = 1;
    if (room == 0) {
        return 0;
    }
    if (vhushmem_chain_read(chain, 0, &header, sizeof(header)) == sizeof(header) && header.type == 0) {
        size_t pieces = vhushmem_chain_iovec(chain, true, 0, room - 1, data, MOST_PIECES);
        status = pieces <= MOST_PIECES && preadv(file, data, (int)pieces, (off_t)(header.sector * 512)) == (ssize_t)(room - 1)
                     ? 0
                     : 1;
    }
    vhushmem_chain_write(chain, room - 1, &status, 1);
    return (uint32_t)room;
}

static void queue_event(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                        void *user_data)
{
    vhushmem_chain *chains[BURST];
    uint32_t written[BURST];
    int count;
    (void)message;
    (void)user_data;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((count = vhushmem_backend_pop_many(backend, queue, chains, BURST, NULL)) > 0) {
        for (int i = 0; i < count; i++) {
            written[i] = serve(chains[i]);
        }
        vhushmem_backend_push_many(backend, queue, chains, written, (size_t)count, NULL);
    }
}

int main(int argc, char **argv)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 1, .config_size = 60};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = queue_event};
    GError *error = NULL;
    vhushmem_backend *backend = vhushmem_backend_new(&options, &error);
    file = argc == 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0 || backend == NULL || vhushmem_backend_set_callback(backend, note_event, NULL, NULL) < 0 ||
        vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error) < 0 ||
        vhushmem_backend_listen(backend, argv[1], &error) < 0) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "usage: read-device SOCKET FILE");
        return 1;
    }
    while (!is_gone) {
        vhushmem_backend_poll(backend, -1);
    }
    vhushmem_backend_free(backend);
    return 0;
}
