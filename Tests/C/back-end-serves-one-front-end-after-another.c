/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that listens serves a front-end, notices that it has gone, and serves the next. Nothing stays open in between. */
/* tsan: yes (the library's front-end and back-end are in two threads) */
#include "pair.h"

static void event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    ((int *)user_data)[event->type]++;
}

static void *front_end(void *path)
{
    for (int i = 0; i < 5; i++) {
        vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, NULL, &error));
        ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
        EQ(vhushmem_device_region_ids(vhushmem_frontend_device(frontend), NULL, 0), 2);
        vhushmem_frontend_free(frontend);
    }
    return NULL;
}

int main(void)
{
    char *directory = new_directory(), *path = g_strdup_printf("%s/socket", directory);
    char *fds = fds_now();
    int events[5] = {0};
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(backend, event, events, NULL));
    ok(vhushmem_backend_add_region(backend, 0, PAGE, &error));
    refused(vhushmem_backend_add_region(backend, 0, PAGE, &error), -EEXIST);
    refused(vhushmem_backend_add_region(backend, 1, PAGE + 1, &error), -EINVAL, hex(PAGE + 1));
    refused(vhushmem_backend_add_region(backend, 1, 0, &error), -EINVAL);
    ok(vhushmem_backend_add_region(backend, 255, 4 * PAGE, &error));
    ok(vhushmem_backend_listen(backend, path, &error));
    refused(vhushmem_backend_listen(backend, path, &error), -EBUSY);
    refused(vhushmem_backend_connect(backend, path, &error), -EBUSY);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, front_end, path) == 0);
    PUMP_BACKEND_UNTIL(backend, events[VHUSHMEM_BACKEND_DISCONNECT] == 5);
    pthread_join(thread, NULL);
    EQ(events[VHUSHMEM_BACKEND_CONNECTED], 5);
    EQ(events[VHUSHMEM_BACKEND_NEGOTIATED], 5);
    EQ(events[VHUSHMEM_BACKEND_RESET], 0);
    CHECK(access(path, F_OK) == 0);
    vhushmem_backend_free(backend);
    CHECK(access(path, F_OK) != 0);
    same(fds, fds_now());
    g_free(path);
    remove_directory(directory);
    return 0;
}
