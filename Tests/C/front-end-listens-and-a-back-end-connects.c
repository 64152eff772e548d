/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end in server mode listens at its path and takes the first back-end that connects. The path is gone afterwards. */
/* tsan: yes (the library's front-end and back-end are in two threads) */
#include "pair.h"

typedef struct job {
    char *path;
    int done;
} job;

static void *back_end(void *user_data)
{
    job *j = user_data;
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * page, &error));
    ok(vhushmem_backend_connect(backend, j->path, &error));
    err(vhushmem_backend_connect(backend, j->path, &error), -EBUSY);
    PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
    ok(vhushmem_backend_map(backend, 0, fd, 0, page, page, 0, &error));
    ok(vhushmem_backend_unmap(backend, 0, page, page, &error));
    close(fd);
    vhushmem_backend_free(backend);
    __atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    ((int *)user_data)[event->type]++;
}

int main(void)
{
    char *directory = new_directory();
    job j = {g_strdup_printf("%s/socket", directory), 0};
    char *fds = fds_now();
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
    int events[8] = {0};
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(j.path, &options, &error));
    ok(vhushmem_frontend_set_callback(frontend, event, events, NULL));
    CHECK(access(j.path, F_OK) != 0); /* nothing is opened before start */
    ok(vhushmem_frontend_start(frontend, &error));

    /* The path is in use. */
    vhushmem_frontend *other = some(vhushmem_frontend_new(j.path, &options, &error));
    refused(vhushmem_frontend_start(other, &error), -EADDRINUSE, j.path);
    vhushmem_frontend_free(other);
    CHECK(access(j.path, F_OK) == 0);

    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, back_end, &j) == 0);
    PUMP_FRONTEND_UNTIL(frontend, events[VHUSHMEM_EVENT_DISCONNECT] > 0);
    pthread_join(thread, NULL);
    EQ(events[VHUSHMEM_EVENT_READY], 1);
    EQ(events[VHUSHMEM_EVENT_MAP], 1);
    EQ(events[VHUSHMEM_EVENT_UNMAP], 1);
    vhushmem_frontend_free(frontend);
    CHECK(access(j.path, F_OK) != 0);
    same(fds, fds_now());
    g_free(j.path);
    remove_directory(directory);
    return 0;
}
