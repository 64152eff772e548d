/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The answer to a map, an unmap or an acknowledged request has no descriptor, and a reply has at most one. A back-end closes
 * its channel on any other answer.
 */
#include "backend-rig.h"

enum { BY_MAP, BY_UNMAP, BY_BOTH, BY_ASYNC, BY_REQUEST, BY_REPLY, BY_REPLY_OF_TWO, WAYS };

static int file;

static void on_result(vhushmem_backend *backend, int result, const char *text, void *user_data)
{
    (void)backend;
    (void)text;
    *(int *)user_data = result;
}

static int ask(backend_rig *r, int way)
{
    vhushmem_shmem_request two[2] = {{.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = PAGE},
                                     {.struct_size = sizeof(vhushmem_shmem_request), .request = MAP, .fd = file, .len = PAGE}};
    uint64_t reply = 0;
    int fd = -1, result = 1;
    switch (way) {
    case BY_MAP:
        return vhushmem_backend_map(r->backend, 0, file, 0, 0, PAGE, 0, NULL);
    case BY_UNMAP:
        return vhushmem_backend_unmap(r->backend, 0, 0, PAGE, NULL);
    case BY_BOTH:
        return vhushmem_backend_perform(r->backend, two, 2, 0, NULL);
    case BY_ASYNC:
        EQ(vhushmem_backend_map_async(r->backend, 0, file, 0, 0, PAGE, 0, on_result, &result, NULL, NULL), 0);
        pump_backend(r->backend);
        return result;
    case BY_REQUEST:
        return vhushmem_backend_request(r->backend, 7, NULL, 0, -1, NULL, NULL, NULL);
    default:
        result = vhushmem_backend_request(r->backend, 7, NULL, 0, -1, &reply, &fd, NULL);
        CHECK((fd >= 0) == (result == 0));
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
}

int main(void)
{
    char *fds = fds_now();
    file = memfd_of(PAGE, 1);
    for (int way = 0; way < WAYS; way++) {
        const uint64_t done = 0;
        backend_rig r;
        backend_rig_open(&r, 16 * PAGE, NULL);
        uint32_t request = way == BY_UNMAP ? UNMAP : way >= BY_REQUEST ? 7 : MAP;
        int with[2] = {file, file};
        /* The answer arrives before the request is made, so that nobody waits. */
        send_message(r.channel, request, 0x5, &done, 8, with, way == BY_REPLY_OF_TWO ? 2 : 1);
        EQ(ask(&r, way), way == BY_REPLY ? 0 : -EPROTO);
        EQ(vhushmem_backend_is_negotiated(r.backend), way == BY_REPLY);
        backend_rig_close(&r);
    }
    close(file);
    same(fds, fds_now());
    return 0;
}
