/* SPDX-License-Identifier: BSD-3-Clause */
/* SET_DEVICE_STATE_FD gives the back-end its end of a pipe, or the back-end brings another pipe. Mappings and a running
   device prevent it. */
#include "device-rig.h"

static int pipe_of_peer = -1; /* the one that the back-end prefers */
static uint64_t check_value;
static bool fails;

static bool transfer(peer *p, const message *m)
{
    uint64_t value;
    switch (m->header.request) {
    case SET_DEVICE_STATE_FD:
        EQ(m->header.size, 8);
        EQ(m->fd_count, 1);
        value = (fails ? 1u : 0u) | (pipe_of_peer < 0 ? 0x100u : 0u);
        reply_with(p, m, &value, sizeof(value), pipe_of_peer);
        return true;
    case CHECK_DEVICE_STATE:
        reply_with(p, m, &check_value, sizeof(check_value), -1);
        return true;
    default:
        return device_answer(p, m);
    }
}

static int replies, last_result, last_fd;

static void take(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    replies++;
    last_result = reply->result;
    last_fd = reply->fd;
}

/* An end of a pipe for the peer. The other end is closed. */
static int end_of_pipe(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[0]);
    return ends[1];
}

int main(void)
{
    rig r;
    int use, kick = eventfd(0, EFD_CLOEXEC), file = memfd_of(PAGE, 1);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick);
    char *fds = fds_now();
    const uint64_t logs = BIT(1); /* LOG_SHMFD */
    device_rig_open(&r, 1, DEVICE_FEATURES | logs);
    refused(vhushmem_frontend_can_migrate(r.frontend, &error), -EOPNOTSUPP, "LOG_ALL");
    rig_close(&r);
    device_rig_features = BIT(26);
    device_rig_open(&r, 1, DEVICE_FEATURES | logs);
    r.peer.answer = transfer;

    ok(vhushmem_frontend_can_migrate(r.frontend, &error));
    ok(vhushmem_frontend_set_device_state_fd(r.frontend, VHUSHMEM_STATE_SAVE, end_of_pipe(), &use, &error));
    EQ(use, -1);
    EQ(u64_of(peer_heard(&r.peer, SET_DEVICE_STATE_FD, 0)), 0);
    ok(vhushmem_frontend_check_device_state(r.frontend, &error));
    check_value = 1;
    refused(vhushmem_frontend_check_device_state(r.frontend, &error), -EIO, "0x1");
    ok(vhushmem_frontend_check_device_state_async(r.frontend, take, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, replies == 1);
    EQ(last_result, -EIO);

    pipe_of_peer = file;
    ok(vhushmem_frontend_set_device_state_fd(r.frontend, VHUSHMEM_STATE_LOAD, end_of_pipe(), &use, &error));
    EQ(u64_of(peer_heard(&r.peer, SET_DEVICE_STATE_FD, 1)), 1);
    CHECK(use >= 0 && fcntl(use, F_GETFD) >= 0);
    close(use);
    ok(vhushmem_frontend_set_device_state_fd_async(r.frontend, VHUSHMEM_STATE_LOAD, end_of_pipe(), take, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, replies == 2);
    EQ(last_result, 0);
    CHECK(last_fd >= 0);
    pipe_of_peer = -1;
    fails = true;
    int pipe = end_of_pipe();
    refused(vhushmem_frontend_set_device_state_fd(r.frontend, VHUSHMEM_STATE_SAVE, pipe, &use, &error), -EIO);
    refused(vhushmem_frontend_set_device_state_fd(r.frontend, 2, pipe, &use, &error), -EINVAL, "2");
    refused(vhushmem_frontend_set_device_state_fd(r.frontend, 0, -1, &use, &error), -EBADF);
    refused(vhushmem_frontend_set_device_state_fd(r.frontend, 0, pipe, NULL, &error), -EFAULT);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    refused(vhushmem_frontend_set_device_state_fd(r.frontend, 0, pipe, &use, &error), -EBUSY);
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    close(pipe); /* the failed call did not close it */

    ok(wire_map(&r, 0, file, 0, 0, PAGE, 0));
    refused(vhushmem_frontend_can_migrate(r.frontend, &error), -EBUSY, "region 0", "1 mapping");
    rig_close(&r);
    device_rig_open(&r, 1, PROTOCOL_DEFAULTS);
    refused(vhushmem_frontend_can_migrate(r.frontend, &error), -EOPNOTSUPP, "LOG_SHMFD");
    rig_close(&r);
    device_rig_open(&r, 1, PROTOCOL_DEFAULTS | logs);
    refused(vhushmem_frontend_can_migrate(r.frontend, &error), -EOPNOTSUPP, "DEVICE_STATE");
    refused(vhushmem_frontend_check_device_state(r.frontend, &error), -EOPNOTSUPP, "DEVICE_STATE");
    rig_close(&r);
    same(fds, fds_now());
    close(kick);
    close(file);
    return 0;
}
