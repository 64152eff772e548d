/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting where nobody listens fails with ENOENT or ECONNREFUSED, and the message has the path. A path that is too long
   fails with ENAMETOOLONG. */
#include "harness.h"

static void start(const char *path, int code)
{
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, NULL, &error));
    refused(vhushmem_frontend_start(frontend, &error), code, path);
    refused(vhushmem_frontend_connect(frontend, 1000, &error), code, path); /* start can be tried again */
    vhushmem_frontend_free(frontend);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_connect(backend, path, &error), code, path);
    vhushmem_backend_free(backend);
}

int main(void)
{
    char *fds = fds_now();
    char *directory = new_directory(), *path = g_strdup_printf("%s/socket", directory),
         *nowhere = g_strdup_printf("%s/none", directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
    start(nowhere, -ENOENT);
    start(path, -ECONNREFUSED);

    char name[200];
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[199] = 0;
    refused(errno_of_null(vhushmem_frontend_new(name, NULL, &error)), -ENAMETOOLONG);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_connect(backend, name, &error), -ENAMETOOLONG);
    refused(vhushmem_backend_listen(backend, name, &error), -ENAMETOOLONG);
    vhushmem_backend_free(backend);
    name[108] = 0; /* sun_path has no room for the last 0 */
    refused(errno_of_null(vhushmem_frontend_new(name, NULL, &error)), -ENAMETOOLONG);
    name[107] = 0;
    vhushmem_frontend_free(some(vhushmem_frontend_new(name, NULL, &error)));

    same(fds, fds_now());
    g_free(path);
    g_free(nowhere);
    remove_directory(directory);
    return 0;
}
