/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With 0, 1, 2, ... free descriptors, a test makes, starts and runs a front-end and a back-end. That fails somewhere or
 * works; either way all is closed at the end.
 */
/* valgrind: no (it has limits of its own in place of RLIMIT_NOFILE) */
#include "harness.h"

#include <sys/resource.h>

static bool with_descriptors(int left)
{
    struct rlimit limit, tight;
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int lowest = dup(0), fd = memfd_of(PAGE, 1);
    CHECK(lowest >= 0);
    close(lowest);
    CHECK(dup3(fd, lowest, O_CLOEXEC) == lowest); /* now all above it are free, except those that the test was started with */
    close(fd);
    fd = lowest;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)(fd + 1 + left);
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);

    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    if (vhushmem_backend_attach(backend, pair[1], NULL) != 0) {
        close(pair[1]);
    }
    int polled = vhushmem_frontend_get_fd(frontend);
    CHECK(polled >= 0 || polled == -EMFILE);
    polled = vhushmem_backend_get_fd(backend);
    CHECK(polled >= 0 || polled == -EMFILE);
    int started = vhushmem_frontend_start(frontend, NULL);
    CHECK(started == 0 || started == -EMFILE);
    for (int i = 0; i < 100; i++) {
        vhushmem_backend_dispatch(backend);
        vhushmem_frontend_dispatch(frontend);
    }
    bool ready = vhushmem_frontend_is_ready(frontend);
    vhushmem_mapping *mapping = vhushmem_mapping_new(0, fd, 0, 0, PAGE, 0, NULL);
    vhushmem_mapping_unref(mapping);
    vhushmem_frontend_free(frontend);
    vhushmem_backend_free(backend);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    close(fd);
    return ready;
}

int main(void)
{
    char *fds = fds_now();
    bool ready = false;
    for (int left = 0; left < 40; left++) {
        ready = with_descriptors(left);
        char *before = g_strdup(fds);
        same(before, fds_now());
    }
    CHECK(ready); /* with this many it works */
    g_free(fds);
    return 0;
}
