/* SPDX-License-Identifier: BSD-3-Clause */
/* A GSource serves a back-end through the handshake in a context of the caller's choice, and stays until the back-end is
   freed. */
/* tsan: yes (the library's front-end and back-end are in two threads) */
#include "pair.h"

static GMainContext *context;

static void event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    ((int *)user_data)[event->type]++;
    if (event->type == VHUSHMEM_BACKEND_NEGOTIATED) {
        int fd = memfd_of(PAGE, 1);
        ok(vhushmem_backend_map(backend, 0, fd, 0, 0, PAGE, 0, &error));
        close(fd);
    }
}

static void *front_end(void *user_data)
{
    int *socket = user_data;
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(*socket, NULL, &error));
    vhushmem_device *device = some(vhushmem_frontend_device(frontend));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    PUMP_FRONTEND_UNTIL(frontend, vhushmem_device_mapping_count(device) == 1);
    shows(vhushmem_device_find_region(device, 0), 0, PAGE, 1, 0);
    vhushmem_frontend_free(frontend);
    return NULL;
}

int main(void)
{
    int pair[2], events[5] = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    context = g_main_context_new();
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(backend, event, events, NULL));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    GSource *source = some(vhushmem_backend_source_new(backend));
    g_source_attach(source, context);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, front_end, &pair[0]) == 0);
    while (events[VHUSHMEM_BACKEND_DISCONNECT] == 0) {
        g_main_context_iteration(context, TRUE);
    }
    pthread_join(thread, NULL);
    EQ(events[VHUSHMEM_BACKEND_NEGOTIATED], 1);
    while (g_main_context_iteration(context, FALSE)) {}
    CHECK(!g_source_is_destroyed(source));
    vhushmem_backend_free(backend);
    CHECK(g_source_is_destroyed(source));
    g_source_unref(source);
    g_main_context_unref(context);
    return 0;
}
