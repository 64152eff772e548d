/* SPDX-License-Identifier: BSD-3-Clause */
/* The asynchronous form: the answers come in the order of the requests. Each callback and each destroy runs once, whatever
   happens. */
#include "device-rig.h"

static int replies, destroyed, last_result;
static uint64_t last_value;
static uint8_t last_bytes[8];
static bool free_it;

static void take(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    CHECK(user_data == &replies);
    replies++;
    last_result = reply->result;
    last_value = reply->value;
    CHECK((reply->message != NULL) == (reply->result != 0));
    CHECK(reply->payload_size <= sizeof(last_bytes));
    if (reply->payload_size > 0) {
        memcpy(last_bytes, reply->payload, reply->payload_size);
    }
    EQ(reply->fd, -1);
    if (free_it) {
        vhushmem_frontend_free(frontend);
    }
}

static void destroy(void *user_data)
{
    CHECK(user_data == &replies);
    destroyed++;
}

#define CALLBACK take, &replies, destroy, &error

int main(void)
{
    rig r;
    int kick = eventfd(0, EFD_CLOEXEC);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    device_rig_open(&r, 1, DEVICE_FEATURES);

    ok(vhushmem_frontend_get_device_status_async(r.frontend, CALLBACK));
    EQ(replies, 0);
    PUMP_UNTIL(r.frontend, replies == 1);
    EQ(last_result, 0);
    ok(vhushmem_frontend_set_config(r.frontend, 0, "abcd", 4, 0, &error));
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, CALLBACK));
    ok(vhushmem_frontend_get_config_async(r.frontend, 1, 2, CALLBACK));
    PUMP_UNTIL(r.frontend, replies == 3);
    CHECK(vhushmem_frontend_is_started(r.frontend));
    /* A request that waits goes after those that do not. */
    ok(vhushmem_frontend_get_device_status_async(r.frontend, CALLBACK));
    EQ(vhushmem_frontend_get_device_status(r.frontend, &error), 0xf);
    EQ(replies, 4);
    EQ(last_value, 0xf);
    ok(vhushmem_frontend_stop_device_async(r.frontend, CALLBACK));
    PUMP_UNTIL(r.frontend, replies == 5);
    CHECK(last_bytes[0] == 100 && last_bytes[1] == 0);
    ok(vhushmem_frontend_request_async(r.frontend, NET_SET_MTU, NULL, 0, NULL, 0, 0, CALLBACK));
    PUMP_UNTIL(r.frontend, replies == 6);
    EQ(destroyed, 6);

    /* A request that cannot be made calls nothing, but destroys the data. */
    refused(vhushmem_frontend_get_config_async(r.frontend, 256, 1, CALLBACK), -EINVAL);
    err(vhushmem_frontend_get_config_async(NULL, 0, 1, CALLBACK), -EFAULT);
    err(vhushmem_frontend_get_config_async(r.frontend, 0, 1, NULL, &replies, destroy, &error), -EFAULT);
    EQ(replies, 6);
    EQ(destroyed, 9);

    /* The connection ends: each request is told. */
    r.peer.mute = GET_STATUS;
    for (int i = 0; i < 3; i++) {
        ok(vhushmem_frontend_get_device_status_async(r.frontend, CALLBACK));
    }
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, replies == 9);
    EQ(last_result, -ECONNRESET);
    EQ(destroyed, 12);
    err(vhushmem_frontend_get_device_status_async(r.frontend, CALLBACK), -ENOTCONN);
    EQ(destroyed, 13);
    rig_close(&r);

    /* Freed inside the callback, with other requests waiting. */
    replies = destroyed = 0;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.mute = GET_CONFIG;
    free_it = true;
    ok(vhushmem_frontend_get_device_status_async(r.frontend, CALLBACK));
    while (replies == 0) {
        CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), PATIENCE_MS));
        vhushmem_frontend_dispatch(r.frontend);
    }
    EQ(replies, 1);
    EQ(destroyed, 1);
    peer_end(&r.peer);
    close(kick);
    return 0;
}
