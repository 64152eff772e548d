/* SPDX-License-Identifier: BSD-3-Clause */
/* Only a device: it has one region, and maps a file there for its first front-end. Usage: back-end SOCKET FILE */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <vhushmem/vhushmem.h>

static int file = -1;

/* QEMU serves maps only after a driver has started a queue (docs/with-qemu.md). This library's front-end serves them at once. */
static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *loop)
{
    GError *error = NULL;
    uint64_t size = (uint64_t)lseek(file, 0, SEEK_END);
    if (event->type == VHUSHMEM_BACKEND_NEGOTIATED && vhushmem_backend_map(backend, 1, file, 0, 0, size, 0, &error) == 0)
        vhushmem_backend_unmap(backend, 1, 0, size, &error);
    if (error != NULL || event->message != NULL)
        fprintf(stderr, "%s\n", error != NULL ? error->message : event->message);
    if (event->type != VHUSHMEM_BACKEND_CONNECTED)
        g_main_loop_quit(loop);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    vhushmem_backend *backend = vhushmem_backend_new(NULL, &error);
    vhushmem_backend_set_callback(backend, on_event, loop, NULL);
    if (argc != 3 || (file = open(argv[2], O_RDONLY)) < 0 || vhushmem_backend_add_region(backend, 1, 16 << 20, &error) < 0 ||
        vhushmem_backend_listen(backend, argv[1], &error) < 0) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "usage: back-end SOCKET FILE");
        return 1;
    }
    GSource *source = vhushmem_backend_source_new(backend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    g_main_loop_run(loop);
    vhushmem_backend_free(backend);
    return 0;
}
