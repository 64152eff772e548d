/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device status of 0 resets the device: queues stop, the handler is asked, the front-end gets its answer, RESET is told.
 * The handler cannot refuse this status. It can refuse every other one, and then the status stays as it was. A positive
 * result of a handler is an error: EIO.
 */
#include "bare-queue.h"

static int result;
static int asked[256];

static int set_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    bare_queue *b = user_data;
    asked[status]++;
    if (status == 0) {
        /* The queue stops before the device is asked; the event comes after the answer. */
        CHECK(!vhushmem_backend_queue_is_running(backend, 0));
        EQ(b->seen[VHUSHMEM_QUEUE_STOPPED], 1);
        EQ(vhushmem_backend_device_status(backend), 0);
    }
    return result;
}

static int set_config(vhushmem_backend *backend, uint32_t offset, const void *buf, uint32_t len, unsigned flags,
                      void *user_data)
{
    (void)backend;
    (void)offset;
    (void)buf;
    (void)len;
    (void)flags;
    (void)user_data;
    return result;
}

static int get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)backend;
    (void)offset;
    (void)user_data;
    memset(buf, 7, len);
    return result;
}

static int transfer_state(vhushmem_backend *backend, int direction, int fd, void *user_data)
{
    (void)backend;
    (void)direction;
    (void)user_data;
    close(fd);
    return result;
}

static int check_state(vhushmem_backend *backend, void *user_data)
{
    (void)backend;
    (void)user_data;
    return result;
}

static void open_device(bare_queue *b)
{
    int pair[2];
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 2, .config_size = 16};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                          .queue = bare_queue_event,
                                          .set_status = set_status,
                                          .get_config = get_config,
                                          .set_config = set_config,
                                          .transfer_state = transfer_state,
                                          .check_state = check_state};
    memset(asked, 0, sizeof(asked));
    result = 0;
    bare_queue_init(b);
    b->r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    b->r.main = pair[0];
    b->r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b->r.backend, backend_rig_event, &b->r, NULL));
    ok(vhushmem_backend_set_handlers(b->r.backend, &handlers, b, NULL, &error));
    ok(vhushmem_backend_add_region(b->r.backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(b->r.backend, pair[1], &error));
    backend_rig_shake_hands(&b->r, BARE_FEATURES | BIT(9) | BIT(19));
    tell_ram(b);
    start_queue(b, 0);
}

static void close_device(bare_queue *b)
{
    backend_rig_close(&b->r);
    bare_queue_close(b);
}

static void a_reset(int refusal)
{
    bare_queue b;
    open_device(&b);
    EQ(tell_u64(&b, SET_STATUS, 0xf, -1), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(b.r.events[VHUSHMEM_BACKEND_RESET], 0);
    result = refusal;
    EQ(tell_u64(&b, SET_STATUS, 0, -1), 0);
    EQ(asked[0], 1);
    EQ(b.r.events[VHUSHMEM_BACKEND_RESET], 1);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(backend_rig_get(&b.r, GET_STATUS), 0);
    /* The device can start again. */
    result = 0;
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    start_queue(&b, 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    close_device(&b);
}

static void refusals(void)
{
    bare_queue b;
    open_device(&b);
    EQ(tell_u64(&b, SET_STATUS, 3, -1), 0);
    result = -EOPNOTSUPP;
    EQ(tell_u64(&b, SET_STATUS, 11, -1), -EOPNOTSUPP);
    EQ(backend_rig_get(&b.r, GET_STATUS), 3);
    EQ(vhushmem_backend_device_status(b.r.backend), 3);
    const int odd[] = {1, 4096, INT_MAX, -4096, INT_MIN};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        result = odd[i];
        EQ(tell_u64(&b, SET_STATUS, 11, -1), -EIO);
        EQ(backend_rig_get(&b.r, GET_STATUS), 3);
        uint8_t config[13] = {0, 0, 0, 0, 1};
        EQ(tell(&b, SET_CONFIG, config, sizeof(config), -1), -EIO);
        message m = backend_rig_ask(&b.r, GET_CONFIG, config, sizeof(config), NULL, 0);
        EQ(m.header.size, 0);
        uint32_t transfer[2] = {0, 0};
        m = backend_rig_ask(&b.r, SET_DEVICE_STATE_FD, transfer, sizeof(transfer), &b.call, 1);
        CHECK((u64_of(&m) & 0xff) != 0);
        CHECK(backend_rig_get(&b.r, CHECK_DEVICE_STATE) != 0);
    }
    result = -4095;
    EQ(tell_u64(&b, SET_STATUS, 11, -1), -4095);
    result = 0;
    EQ(tell_u64(&b, SET_STATUS, 11, -1), 0);
    EQ(backend_rig_get(&b.r, GET_STATUS), 11);
    close_device(&b);
}

int main(void)
{
    a_reset(0);
    a_reset(-EBUSY);
    a_reset(1);
    refusals();
    return 0;
}
