/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listen replaces a socket at the path that has no listener. It leaves a socket with a listener, and a file that is no
 * socket, alone.
 */
#include "harness.h"

static int bound_socket(const char *path, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(!listening || listen(fd, 4) == 0);
    return fd;
}

static int64_t listens(const char *path, bool front_end)
{
    int64_t done;
    if (front_end) {
        vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
        vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, &options, &error));
        done = vhushmem_frontend_start(frontend, &error);
        vhushmem_frontend_free(frontend);
    } else {
        vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
        done = vhushmem_backend_listen(backend, path, &error);
        vhushmem_backend_free(backend);
    }
    return done;
}

int main(void)
{
    char *directory = new_directory(), *path = g_strdup_printf("%s/socket", directory);
    for (int front_end = 0; front_end < 2; front_end++) {
        ok(listens(path, front_end));
        unlink(path);
        close(bound_socket(path, true)); /* its owner is gone, as after a crash */
        ok(listens(path, front_end));
        unlink(path);

        int live = bound_socket(path, true);
        refused(listens(path, front_end), -EADDRINUSE, path);
        struct stat there;
        CHECK(stat(path, &there) == 0 && S_ISSOCK(there.st_mode));
        close(live);
        unlink(path);

        int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        refused(listens(path, front_end), -EADDRINUSE, path);
        CHECK(stat(path, &there) == 0 && S_ISREG(there.st_mode));
        close(file);
        unlink(path);

        char *nowhere = g_strdup_printf("%s/no/socket", directory);
        refused(listens(nowhere, front_end), -ENOENT, nowhere);
        g_free(nowhere);
    }
    g_free(path);
    remove_directory(directory);
    return 0;
}
