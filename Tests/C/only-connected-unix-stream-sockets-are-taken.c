/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A descriptor that is no Unix stream socket is refused with EINVAL or EBADF, and one that is not connected with ENOTCONN.
 * The caller keeps it.
 */
#include "harness.h"

int main(void)
{
    int packet[2], pipes[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, packet) == 0);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    int fds[] = {packet[0], pipes[0], memfd_of(PAGE, 1)};
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    for (size_t i = 0; i < 3; i++) {
        refused(errno_of_null(vhushmem_frontend_new_fd(fds[i], NULL, &error)), -EINVAL);
        refused(vhushmem_backend_attach(backend, fds[i], &error), -EINVAL);
        CHECK(fcntl(fds[i], F_GETFD) >= 0);
        close(fds[i]);
    }
    refused(errno_of_null(vhushmem_frontend_new_fd(-1, NULL, &error)), -EBADF);
    refused(errno_of_null(vhushmem_frontend_new_fd(9999, NULL, &error)), -EBADF);
    refused(vhushmem_backend_attach(backend, -1, &error), -EBADF);
    refused(vhushmem_backend_attach(backend, 9999, &error), -EBADF);

    /* Nobody is at the other end, and nobody can be. If a peer has left, DISCONNECT tells that instead. */
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    refused(errno_of_null(vhushmem_channel_new(fds[0], device, NULL, &error)), -EBADF);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(i == 0 || (bind(fd, (void *)&address, sizeof(sa_family_t)) == 0 && listen(fd, 1) == 0));
        refused(errno_of_null(vhushmem_frontend_new_fd(fd, NULL, &error)), -ENOTCONN, "not connected");
        refused(errno_of_null(vhushmem_channel_new(fd, device, NULL, &error)), -ENOTCONN, "not connected");
        refused(vhushmem_backend_attach(backend, fd, &error), -ENOTCONN, "not connected");
        CHECK(fcntl(fd, F_GETFD) >= 0);
        close(fd);
    }
    int left[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, left) == 0);
    close(left[1]);
    vhushmem_channel *channel = some(vhushmem_channel_new(left[0], device, NULL, &error));
    vhushmem_channel_free(channel);
    vhushmem_device_unref(device);

    /* With a wrong option, the caller keeps a right socket, too. */
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_frontend_options options = {.struct_size = 3};
    refused(errno_of_null(vhushmem_frontend_new_fd(pair[0], &options, &error)), -EINVAL);
    CHECK(fcntl(pair[0], F_GETFD) >= 0);
    ok(vhushmem_backend_attach(backend, pair[0], &error));
    refused(vhushmem_backend_attach(backend, pair[1], &error), -EBUSY);
    CHECK(fcntl(pair[1], F_GETFD) >= 0);
    vhushmem_backend_free(backend);
    CHECK(fcntl(pair[0], F_GETFD) < 0);
    close(pair[1]);
    close(packet[1]);
    close(pipes[1]);
    return 0;
}
