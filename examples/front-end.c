/* SPDX-License-Identifier: BSD-3-Clause */
/* Only a VMM's side: it connects to a device, and shows what the device maps. Usage: front-end SOCKET */
#include <stdio.h>
#include <string.h>
#include <vhushmem/vhushmem.h>

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *loop)
{
    vhushmem_region *region = vhushmem_device_find_region(vhushmem_frontend_device(frontend), 1);
    char text[41] = "";
    if (event->type == VHUSHMEM_EVENT_READY) { /* the regions exist: make a KVM slot or a BAR for each window */
        printf("window %p, %zu bytes\n", vhushmem_region_window(region), (size_t)vhushmem_region_size(region));
    } else if (event->type == VHUSHMEM_EVENT_MAP && event->result == 0) { /* a guest would see the mapping already */
        if (vhushmem_region_read(region, event->shm_offset, text, MIN(event->len, sizeof(text) - 1), NULL) == 0)
            printf("map at 0x%zx, %zu bytes: %.*s\n", (size_t)event->shm_offset, (size_t)event->len, (int)strcspn(text, "\n"),
                   text);
    } else if (event->type == VHUSHMEM_EVENT_UNMAP) {
        printf("unmap at 0x%zx\n", (size_t)event->shm_offset);
    } else if (event->type == VHUSHMEM_EVENT_DISCONNECT) {
        g_main_loop_quit(loop);
    }
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    vhushmem_frontend *frontend = vhushmem_frontend_new(argc > 1 ? argv[1] : "device.sock", NULL, &error);
    vhushmem_frontend_set_callback(frontend, on_event, loop, NULL);
    if (frontend == NULL || vhushmem_frontend_connect(frontend, 5000, &error) < 0) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    GSource *source = vhushmem_frontend_source_new(frontend); /* from now on the loop serves the device */
    g_source_attach(source, NULL);
    g_source_unref(source);
    g_main_loop_run(loop);
    vhushmem_frontend_free(frontend);
    return 0;
}
