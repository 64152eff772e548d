/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that connects to the socket of its argument, maps one page at the region's first page, and waits to be killed. */
#include "../pair.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    int fd = memfd_of(PAGE, 1);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_connect(backend, argv[1], &error));
    PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
    ok(vhushmem_backend_map(backend, 0, fd, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    for (;;) {
        pause();
    }
}
