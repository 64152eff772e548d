/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end sends many maps and unmaps before it waits, with an answer for each or one at the end. Each result goes to its
 * request.
 */
#include "pair.h"

#define COUNT 200

static void fill_in(vhushmem_shmem_request *all, uint32_t id, int fd)
{
    for (unsigned i = 0; i < COUNT; i++) {
        vhushmem_shmem_request one = {
            .struct_size = sizeof(one), .request = id, .fd = fd, .shm_offset = i * PAGE, .len = PAGE, .result = 1};
        all[i] = one;
    }
}

static void run(vhushmem_backend *backend)
{
    int fd = memfd_of(PAGE, 1);
    static vhushmem_shmem_request all[COUNT];
    fill_in(all, VHOST_USER_BACKEND_SHMEM_MAP, fd);
    all[3].shm_offset = 2 * PAGE; /* overlaps */
    all[100].fd = -1;
    all[101].shmid = 9;
    EQ(vhushmem_backend_perform(backend, all, COUNT, 0, &error), 3);
    for (int i = 0; i < COUNT; i++) {
        EQ(all[i].result, i == 3 ? -EEXIST : i == 100 ? -EBADF : i == 101 ? -ENOENT : 0);
    }
    fill_in(all, VHOST_USER_BACKEND_SHMEM_UNMAP, -1);
    EQ(vhushmem_backend_perform(backend, all, COUNT, VHUSHMEM_PERFORM_ONE_ANSWER, &error), 0);
    /* All of them are done by then. The refused ones were not mapped. */
    fill_in(all, VHOST_USER_BACKEND_SHMEM_MAP, fd);
    EQ(vhushmem_backend_perform(backend, all, COUNT, VHUSHMEM_PERFORM_ONE_ANSWER, &error), 0);
    fill_in(all, VHOST_USER_BACKEND_SHMEM_UNMAP, -1);
    EQ(vhushmem_backend_perform(backend, all, COUNT, 0, &error), 0);

    EQ(vhushmem_backend_perform(backend, NULL, 0, 0, &error), 0);
    err(vhushmem_backend_perform(backend, NULL, 1, 0, &error), -EFAULT);
    err(vhushmem_backend_perform(NULL, all, 1, 0, &error), -EFAULT);
    EQ(all[0].result, -EFAULT);
    err(vhushmem_backend_perform(backend, all, 2, 2, &error), -EINVAL);
    EQ(all[0].result, -EINVAL);
    EQ(all[1].result, -EINVAL);
    all[0].result = all[1].result = 0;
    all[1].request = 2;
    refused(vhushmem_backend_perform(backend, all, 2, 0, &error), -EINVAL, "2");
    EQ(all[0].result, -EINVAL);
    EQ(all[1].result, -EINVAL);
    close(fd);
}

/* Nobody answers: each request without an answer reports that. */
static void silence(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_shmem_request all[2] = {
        {.struct_size = sizeof(vhushmem_shmem_request), .request = VHOST_USER_BACKEND_SHMEM_UNMAP, .len = PAGE, .result = 1},
        {.struct_size = sizeof(vhushmem_shmem_request), .request = VHOST_USER_BACKEND_SHMEM_UNMAP, .len = PAGE, .result = 1}};
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_attach(backend, pair[0], &error));
    err(vhushmem_backend_perform(backend, all, 2, 0, &error), -ENOTCONN);
    EQ(all[0].result, -ENOTCONN);
    EQ(all[1].result, -ENOTCONN);
    vhushmem_backend_free(backend);
    close(pair[1]);
}

int main(void)
{
    int pair[2];
    silence();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pid_t child = back_end_process(pair[1], pair[0], COUNT * PAGE, run);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    PUMP_FRONTEND_UNTIL(frontend, !vhushmem_frontend_is_ready(frontend));
    ends_well(child);
    vhushmem_frontend_free(frontend);
    return 0;
}
