/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's back-end makes every other request of the library's front-end, with descriptors in both directions. */
#include "pair.h"

static int taken, config_changes;

static void run(vhushmem_backend *backend)
{
    static const uint8_t name[] = "sixteen bytes id";
    uint8_t area[24] = {0}, byte;
    uint64_t reply = 1;
    int file = memfd_of(PAGE, 3), fd = -2;
    /* ADD, LOOKUP, REMOVE */
    ok(vhushmem_backend_request(backend, 6, name, 16, -1, NULL, NULL, &error));
    ok(vhushmem_backend_request(backend, 7, name, 16, -1, NULL, NULL, &error));
    ok(vhushmem_backend_request(backend, 8, "mine is a memfd.", 16, -1, &reply, &fd, &error));
    CHECK(fd >= 0 && reply == 0);
    EQ(pread(fd, &byte, 1, 0), 1);
    close(fd);
    ok(vhushmem_backend_request(backend, 8, "nobody has this.", 16, -1, &reply, &fd, &error));
    EQ(fd, -1);
    CHECK(reply != 0);
    ok(vhushmem_backend_request(backend, 8, "mine is a memfd.", 16, -1, &reply, NULL, &error));
    /* VRING_HOST_NOTIFIER with its descriptor, VRING_CALL refused by the callback, IOTLB */
    ok(vhushmem_backend_request(backend, 3, area, sizeof(area), file, NULL, NULL, &error));
    refused(vhushmem_backend_request(backend, 4, area, 8, -1, NULL, NULL, &error), -EPERM, "4");
    ok(vhushmem_backend_request(backend, 1, area, sizeof(area), -1, NULL, NULL, &error));
    ok(vhushmem_backend_request(backend, 2, NULL, 0, -1, NULL, NULL, &error));
    ok(vhushmem_backend_config_changed(backend, &error));
    /* Wrong requests. */
    err(vhushmem_backend_request(backend, VHOST_USER_BACKEND_SHMEM_MAP, area, 40, file, NULL, NULL, &error), -EINVAL);
    err(vhushmem_backend_request(backend, 1, area, 4097, -1, NULL, NULL, &error), -EINVAL);
    err(vhushmem_backend_request(backend, 1, NULL, 4, -1, NULL, NULL, &error), -EFAULT);
    err(vhushmem_backend_request(backend, 3, area, 24, 999, NULL, NULL, &error), -EBADF);
    ok(vhushmem_backend_map(backend, 0, file, 0, 0, PAGE, 0, &error));
    close(file);
}

static int take(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    (void)frontend;
    (void)user_data;
    taken++;
    EQ(request->nfds, request->request == 3 ? 1 : 0);
    return request->request == 4 ? -EPERM : 0;
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    config_changes += event->type == VHUSHMEM_EVENT_CONFIG_CHANGE;
}

static int zero_config(vhushmem_backend *b, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)b;
    (void)offset;
    (void)user_data;
    memset(buf, 0, len);
    return 0;
}

static int no_object(vhushmem_backend *b, const uint8_t *uuid, void *user_data)
{
    (void)b;
    (void)uuid;
    (void)user_data;
    return -ENOENT;
}

int main(void)
{
    int pair[2], file = memfd_of(PAGE, 1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        vhushmem_backend_options options = {.struct_size = sizeof(options), .config_size = 64};
        vhushmem_backend_handlers handlers = {
            .struct_size = sizeof(handlers), .get_config = zero_config, .get_shared_object = no_object};
        close(pair[0]);
        vhushmem_backend *backend = some(vhushmem_backend_new(&options, &error));
        ok(vhushmem_backend_set_handlers(backend, &handlers, NULL, NULL, &error));
        ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
        err(vhushmem_backend_request(backend, 1, NULL, 0, -1, NULL, NULL, &error), -ENOTCONN);
        ok(vhushmem_backend_attach(backend, pair[1], &error));
        PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
        run(backend);
        vhushmem_backend_free(backend);
        _exit(0);
    }
    close(pair[1]);
    vhushmem_shared_objects *objects = vhushmem_shared_objects_new();
    ok(vhushmem_shared_objects_add(objects, (const uint8_t *)"mine is a memfd.", file, &error));
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shared_objects = objects};
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    ok(vhushmem_frontend_set_callback(frontend, on_event, NULL, NULL));
    ok(vhushmem_frontend_set_request_callback(frontend, take, NULL, NULL));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    PUMP_FRONTEND_UNTIL(frontend, !vhushmem_frontend_is_ready(frontend));
    ends_well(child);
    EQ(taken, 3);
    EQ(config_changes, 2);
    vhushmem_frontend_free(frontend);
    vhushmem_shared_objects_unref(objects);
    close(file);
    return 0;
}
