/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log, byte order, kicks by message and shared objects: the bytes of their messages if the feature was negotiated, and
 * the refusal if it was not.
 */
#include "device-rig.h"
#include "transcript.h"

static int shared = -1;

static bool answer(peer *p, const message *m)
{
    switch (m->header.request) {
    case 6: /* SET_LOG_BASE: the peer replies with eight bytes, as libvhost-user does */
        send_line(p->main, "06000000 05000000 08000000 0000000000000000", NULL, 0);
        return true;
    case 41:
        reply_with(p, m, m->payload, 16, m->payload[0] == 1 ? shared : -1);
        return true;
    default:
        return device_answer(p, m);
    }
}

static void ended(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    *(int *)user_data = reply->result == 0 ? 1 : reply->result;
}

static void said(rig *r, uint32_t request, int n, const char *line, int fds)
{
    is_line(some(peer_heard(&r->peer, request, n)), line, fds, line);
}

static void open_with(rig *r, uint64_t features)
{
    static vhushmem_shared_objects *objects;
    if (objects == NULL) {
        objects = vhushmem_shared_objects_new();
    }
    memset(r, 0, sizeof(*r));
    peer_init(&r->peer);
    peer_add_region(&r->peer, 0, 16 * PAGE);
    r->peer.queues = 2;
    r->peer.protocol_features = features;
    r->peer.answer = answer;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .num_queues = 2, .protocol_features = UINT64_MAX, .shared_objects = objects};
    rig_connect(r, &options);
}

int main(void)
{
    rig r;
    static const uint8_t known[16] = {1, 2, 3}, unknown[16] = {9};
    int file = memfd_of(PAGE, 1), done = 0, fd;
    shared = memfd_of(PAGE, 2);
    open_with(&r, DEVICE_FEATURES | BIT(1) | BIT(6) | BIT(14) | BIT(18));
    ok(vhushmem_frontend_set_log(r.frontend, file, 0x1000, 0x2000, &error));
    said(&r, 6, 0, "06000000 09000000 10000000 0020000000000000 0010000000000000", 1);
    ok(vhushmem_frontend_set_log_async(r.frontend, file, 0, 1, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 6, 1, "06000000 09000000 10000000 0100000000000000 0000000000000000", 1);
    ok(vhushmem_frontend_set_log_fd(r.frontend, file, &error));
    said(&r, 7, 0, "07000000 09000000 00000000", 1);
    done = 0;
    ok(vhushmem_frontend_set_log_fd_async(r.frontend, file, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 7, 1, "07000000 09000000 00000000", 1);
    ok(vhushmem_frontend_set_queue_endian(r.frontend, 1, true, &error));
    said(&r, 23, 0, "17000000 09000000 08000000 01000000 01000000", 0);
    done = 0;
    ok(vhushmem_frontend_set_queue_endian_async(r.frontend, 0, false, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 23, 1, "17000000 09000000 08000000 00000000 00000000", 0);
    ok(vhushmem_frontend_kick_queue(r.frontend, 1, &error));
    said(&r, 35, 0, "23000000 09000000 08000000 01000000 00000000", 0);
    done = 0;
    ok(vhushmem_frontend_kick_queue_async(r.frontend, 0, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 35, 1, "23000000 09000000 08000000 00000000 00000000", 0);
    fd = (int)ok(vhushmem_frontend_get_shared_object(r.frontend, known, &error));
    said(&r, 41, 0, "29000000 09000000 10000000 01020300000000000000000000000000", 0);
    EQ(pread(fd, &(char){0}, 1, 0), 1);
    close(fd);
    refused(vhushmem_frontend_get_shared_object(r.frontend, unknown, &error), -ENOENT);
    done = 0;
    ok(vhushmem_frontend_get_shared_object_async(r.frontend, unknown, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == -ENOENT);
    done = 0;
    ok(vhushmem_frontend_set_config_async(r.frontend, 1, "ab", 2, 0, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 25, 0, "19000000 09000000 0e000000 01000000 02000000 00000000 6162", 0);
    done = 0;
    ok(vhushmem_frontend_set_device_status_async(r.frontend, 7, ended, &done, NULL, &error));
    PUMP_UNTIL(r.frontend, done == 1);
    said(&r, 39, 0, "27000000 09000000 08000000 0700000000000000", 0);
    /* RESET_OWNER, which nobody should need, goes as a generic request. */
    ok(vhushmem_frontend_request(r.frontend, 4, NULL, 0, NULL, 0, 0, NULL, NULL, NULL, &error));
    said(&r, 4, 0, "04000000 09000000 00000000", 0);

    err(vhushmem_frontend_set_queue_endian(r.frontend, 2, true, &error), -EINVAL);
    err(vhushmem_frontend_kick_queue(r.frontend, 2, &error), -EINVAL);
    err(vhushmem_frontend_set_queue_endian_async(r.frontend, 2, true, ended, &done, NULL, &error), -EINVAL);
    err(vhushmem_frontend_kick_queue_async(r.frontend, 2, ended, &done, NULL, &error), -EINVAL);
    err(vhushmem_frontend_set_log_fd_async(r.frontend, -1, ended, &done, NULL, &error), -EBADF);
    err(vhushmem_frontend_set_log(r.frontend, -1, 0, 1, &error), -EBADF);
    err(vhushmem_frontend_set_log_fd(r.frontend, 999, &error), -EBADF);
    err(vhushmem_frontend_get_shared_object(r.frontend, NULL, &error), -EFAULT);
    err(vhushmem_frontend_set_config_async(r.frontend, 0, NULL, 1, 0, ended, &done, NULL, &error), -EFAULT);
    rig_close(&r);

    open_with(&r, PROTOCOL_DEFAULTS);
    refused(vhushmem_frontend_set_log(r.frontend, file, 0, 1, &error), -EOPNOTSUPP, "LOG_SHMFD");
    refused(vhushmem_frontend_set_queue_endian(r.frontend, 0, true, &error), -EOPNOTSUPP, "CROSS_ENDIAN");
    refused(vhushmem_frontend_kick_queue(r.frontend, 0, &error), -EOPNOTSUPP, "INBAND_NOTIFICATIONS");
    refused(vhushmem_frontend_get_shared_object(r.frontend, known, &error), -EOPNOTSUPP, "SHARED_OBJECT");
    refused(vhushmem_frontend_set_device_status_async(r.frontend, 1, ended, &done, NULL, &error), -EOPNOTSUPP, "STATUS");
    rig_close(&r);
    close(file);
    close(shared);
    return 0;
}
