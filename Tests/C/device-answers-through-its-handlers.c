/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's front-end asks the library's back-end for all that a device does besides its queues. Each request is refused
   where it was not negotiated. */
#include "virtqueue-rig.h"

#define ALL UINT64_MAX
#define WITHOUT(bit) (~BIT(bit))

static uint8_t config[600];
static unsigned config_flags;
static int last_status = -1, state_fd = -1, shared = -1;
static const uint8_t name[] = "sixteen bytes id";

static int get_config(vhushmem_backend *b, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)b;
    (void)user_data;
    CHECK(offset + len <= sizeof(config));
    memcpy(buf, config + offset, len);
    return offset == 13 ? -EIO : 0;
}

static int set_config(vhushmem_backend *b, uint32_t offset, const void *buf, uint32_t len, unsigned flags, void *user_data)
{
    (void)b;
    (void)user_data;
    CHECK(offset + len <= sizeof(config));
    memcpy(config + offset, buf, len);
    config_flags = flags;
    return offset == 13 ? -EPERM : 0;
}

static int set_status(vhushmem_backend *b, uint8_t status, void *user_data)
{
    (void)user_data;
    EQ(vhushmem_backend_device_status(b), status);
    last_status = status;
    return status == 99 ? -EINVAL : 0;
}

static int get_shared_object(vhushmem_backend *b, const uint8_t *uuid, void *user_data)
{
    (void)b;
    (void)user_data;
    return memcmp(uuid, name, 16) == 0 ? dup(shared) : -ENOENT;
}

static int transfer_state(vhushmem_backend *b, int direction, int fd, void *user_data)
{
    (void)b;
    (void)user_data;
    EQ(direction, VHUSHMEM_STATE_SAVE);
    state_fd = fd;
    return 0;
}

static int check_state(vhushmem_backend *b, void *user_data)
{
    (void)b;
    (void)user_data;
    CHECK(write(state_fd, "all there is", 12) == 12);
    close(state_fd);
    return 0;
}

static const vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                                   .get_config = get_config,
                                                   .set_config = set_config,
                                                   .set_status = set_status,
                                                   .get_shared_object = get_shared_object,
                                                   .transfer_state = transfer_state,
                                                   .check_state = check_state};

static void open_with(queue_rig *q, uint64_t accepted)
{
    vhushmem_backend_options b = {.struct_size = sizeof(b), .config_size = sizeof(config), .features = BIT(28) | BIT(29)};
    vhushmem_frontend_options f = {.struct_size = sizeof(f), .protocol_features = accepted, .max_config_size = 4096};
    vhushmem_shared_objects *objects = vhushmem_shared_objects_new();
    f.shared_objects = objects;
    queue_rig_open_with(q, &b, &f, &handlers);
    vhushmem_shared_objects_unref(objects);
}

/* The reply to GET_SHARED_OBJECT: 16 bytes, and the descriptor or -1. */
static int ask_for_object(queue_rig *q, const uint8_t *uuid)
{
    uint8_t reply[16];
    size_t size = sizeof(reply);
    int fd = -1;
    ok(vhushmem_frontend_request(q->frontend, 41, uuid, 16, NULL, 0, VHUSHMEM_REQUEST_HAS_REPLY | VHUSHMEM_REQUEST_REPLY_FD,
                                 reply, &size, &fd, &error));
    return fd;
}

static void everything(void)
{
    queue_rig q;
    uint8_t bytes[600];
    char text[12];
    int pipe_fds[2], use = -1, fd;
    for (size_t i = 0; i < sizeof(config); i++) {
        config[i] = (uint8_t)i;
    }
    open_with(&q, ALL);
    ok(vhushmem_frontend_get_config(q.frontend, 0, bytes, sizeof(bytes), &error));
    CHECK(memcmp(bytes, config, sizeof(bytes)) == 0);
    ok(vhushmem_frontend_get_config(q.frontend, 599, bytes, 1, &error));
    refused(vhushmem_frontend_get_config(q.frontend, 599, bytes, 2, &error), -EIO, "0x257");
    refused(vhushmem_frontend_get_config(q.frontend, 13, bytes, 2, &error), -EIO);
    ok(vhushmem_frontend_set_config(q.frontend, 598, "xy", 2, VHUSHMEM_CONFIG_MIGRATION, &error));
    CHECK(config[598] == 'x' && config[599] == 'y' && config_flags == 1);
    refused(vhushmem_frontend_set_config(q.frontend, 599, "xy", 2, 0, &error), -EIO, "SET_CONFIG");
    refused(vhushmem_frontend_set_config(q.frontend, 13, "x", 1, 0, &error), -EIO, "SET_CONFIG");

    ok(vhushmem_frontend_set_device_status(q.frontend, 3, &error));
    EQ(last_status, 3);
    EQ(ok(vhushmem_frontend_get_device_status(q.frontend, &error)), 3);
    refused(vhushmem_frontend_set_device_status(q.frontend, 99, &error), -EIO, "SET_STATUS");

    shared = memfd_of(PAGE, 7);
    fd = ask_for_object(&q, name);
    CHECK(fd >= 0);
    EQ(pread(fd, bytes, 16, 0), 16);
    close(fd);
    EQ(ask_for_object(&q, (const uint8_t *)"another sixteen."), -1);
    close(shared);

    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    ok(vhushmem_frontend_set_device_state_fd(q.frontend, VHUSHMEM_STATE_SAVE, pipe_fds[1], &use, &error));
    EQ(use, -1);
    ok(vhushmem_frontend_check_device_state(q.frontend, &error));
    close(pipe_fds[1]);
    EQ(read(pipe_fds[0], text, 12), 12);
    CHECK(memcmp(text, "all there is", 12) == 0);
    EQ(read(pipe_fds[0], text, 1), 0);
    close(pipe_fds[0]);
    queue_rig_close(&q);
}

int main(void)
{
    char *fds = fds_now();
    queue_rig q;
    uint8_t byte;
    everything();

    open_with(&q, WITHOUT(VHOST_USER_PROTOCOL_F_CONFIG));
    refused(vhushmem_frontend_get_config(q.frontend, 0, &byte, 1, &error), -EOPNOTSUPP, "CONFIG");
    refused(vhushmem_frontend_set_config(q.frontend, 0, "x", 1, 0, &error), -EOPNOTSUPP, "CONFIG");
    queue_rig_close(&q);
    open_with(&q, WITHOUT(16));
    err(vhushmem_frontend_get_device_status(q.frontend, &error), -EOPNOTSUPP);
    err(vhushmem_frontend_set_device_status(q.frontend, 1, &error), -EOPNOTSUPP);
    queue_rig_start(&q, 64, 0, 0);
    WAIT_UNTIL(seen(&q.events[VHUSHMEM_QUEUE_STARTED]) == 1);
    queue_rig_close(&q);
    open_with(&q, WITHOUT(19));
    err(vhushmem_frontend_check_device_state(q.frontend, &error), -EOPNOTSUPP);
    queue_rig_close(&q);
    open_with(&q, WITHOUT(12));
    vhushmem_inflight area = {.struct_size = sizeof(area), .fd = -1};
    err(vhushmem_frontend_get_inflight(q.frontend, 1, 64, &area, &error), -EOPNOTSUPP);
    queue_rig_close(&q);
    open_with(&q, WITHOUT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    queue_rig_start(&q, 64, 0, 0); /* by SET_MEM_TABLE */
    set_descriptor(&q, DESC, 0, BUFFERS, 4, 0, 0);
    offer(&q, 0);
    kick(&q);
    EQ(taken_back(&q, NULL), 0);
    queue_rig_close(&q);
    open_with(&q, WITHOUT(VHOST_USER_PROTOCOL_F_RESET_DEVICE));
    ok(vhushmem_frontend_reset(q.frontend, &error)); /* nothing is sent, and the mappings are gone */
    EQ(seen(&q.backend_events[VHUSHMEM_BACKEND_RESET]), 0);
    queue_rig_close(&q);
    same(fds, fds_now());
    return 0;
}
