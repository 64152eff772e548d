/* SPDX-License-Identifier: BSD-3-Clause */
/* destroy runs exactly once: when the callback is replaced, when it is removed, or when its object is freed. */
#include "harness.h"

static int destroyed, called;

static void destroy(void *user_data)
{
    CHECK(user_data == &destroyed);
    destroyed++;
}

static void front_end_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend, (void)event, (void)user_data;
    called++;
}

static void back_end_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend, (void)event, (void)user_data;
    called++;
}

static void channel_event(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    (void)channel, (void)event, (void)user_data;
    called++;
}

static int channel_request(vhushmem_channel *channel, const vhushmem_other_request *request, void *user_data)
{
    (void)channel, (void)request, (void)user_data;
    called++;
    return 0;
}

static void front_end(void)
{
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/tmp/nobody", NULL, &error));
    destroyed = 0;
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    EQ(destroyed, 0);
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    EQ(destroyed, 1);
    ok(vhushmem_frontend_set_callback(frontend, NULL, NULL, NULL));
    EQ(destroyed, 2);
    ok(vhushmem_frontend_set_callback(frontend, front_end_event, &destroyed, destroy));
    vhushmem_frontend_free(frontend);
    EQ(destroyed, 3);

    /* Without an object, nothing could call it later. */
    err(vhushmem_frontend_set_callback(NULL, front_end_event, &destroyed, destroy), -EFAULT);
    EQ(destroyed, 4);
}

static void back_end(void)
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    destroyed = 0;
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    EQ(destroyed, 1);
    ok(vhushmem_backend_set_callback(backend, NULL, NULL, NULL));
    EQ(destroyed, 2);
    ok(vhushmem_backend_set_callback(backend, back_end_event, &destroyed, destroy));
    vhushmem_backend_free(backend);
    EQ(destroyed, 3);
    err(vhushmem_backend_set_callback(NULL, back_end_event, &destroyed, destroy), -EFAULT);
    EQ(destroyed, 4);
}

static void channel(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_channel *channel = some(vhushmem_channel_new(pair[0], device, NULL, &error));
    destroyed = 0;
    for (int i = 0; i < 2; i++) {
        ok(vhushmem_channel_set_callback(channel, channel_event, &destroyed, destroy));
        ok(vhushmem_channel_set_request_callback(channel, channel_request, &destroyed, destroy));
        EQ(destroyed, 2 * i);
    }
    ok(vhushmem_channel_set_callback(channel, NULL, NULL, NULL));
    EQ(destroyed, 3);
    ok(vhushmem_channel_set_request_callback(channel, NULL, NULL, NULL));
    EQ(destroyed, 4);
    ok(vhushmem_channel_set_callback(channel, channel_event, &destroyed, destroy));
    ok(vhushmem_channel_set_request_callback(channel, channel_request, &destroyed, destroy));
    vhushmem_channel_free(channel);
    EQ(destroyed, 6);
    err(vhushmem_channel_set_callback(NULL, channel_event, &destroyed, destroy), -EFAULT);
    err(vhushmem_channel_set_request_callback(NULL, channel_request, &destroyed, destroy), -EFAULT);
    EQ(destroyed, 8);
    close(pair[1]);
    vhushmem_device_unref(device);
}

int main(void)
{
    front_end();
    channel();
    back_end();
    EQ(called, 0);
    return 0;
}
