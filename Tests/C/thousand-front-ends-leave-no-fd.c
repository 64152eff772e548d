/* SPDX-License-Identifier: BSD-3-Clause */
/* A thousand front-ends and back-ends, made and freed in every stage of their lives, leave no descriptor and no mapping. */
#include "harness.h"

static void round_of(int i)
{
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/tmp/nobody", NULL, &error));
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    if (i % 2) {
        ok(vhushmem_frontend_get_fd(frontend));
        ok(vhushmem_backend_get_fd(backend));
        ok(vhushmem_frontend_add_region(frontend, 0, 16 * PAGE, &error));
        ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
        g_source_unref(vhushmem_frontend_source_new(frontend));
        g_source_unref(vhushmem_backend_source_new(backend));
    }
    vhushmem_frontend_free(frontend);
    vhushmem_backend_free(backend);

    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    if (i % 4 > 0) {
        ok(vhushmem_frontend_start(frontend, &error));
    }
    for (int messages = 0; messages < i % 40; messages++) {
        vhushmem_backend_dispatch(backend);
        vhushmem_frontend_dispatch(frontend);
    }
    if (i % 3 == 0) {
        vhushmem_backend_free(backend);
        vhushmem_frontend_dispatch(frontend);
        vhushmem_frontend_free(frontend);
    } else {
        vhushmem_frontend_free(frontend);
        vhushmem_backend_dispatch(backend);
        vhushmem_backend_free(backend);
    }
}

int main(void)
{
    for (int i = 0; i < 60; i++) { /* the first lives make what then stays for good */
        round_of(i);
    }
    char *fds = fds_now(), *maps = maps_now();
    for (int i = 0; i < steps(1000); i++) {
        round_of(i);
    }
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
