/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A change of guest memory may be under way when the device is stopped or reset, and started again. The start waits for its
 * end and does not repeat it: a back-end would refuse the repetition, or have the memory twice.
 */
#include "device-rig.h"

static rig r;
static int file, kick_fd, replies;
static vhushmem_queue queue;
static int known[8], told_twice, unknown_removed;

static void look(peer *p, const message *m)
{
    uint64_t guest_addr;
    (void)p;
    memcpy(&guest_addr, m->payload + 8, sizeof(guest_addr));
    if (m->header.request == ADD_MEM_REG) {
        told_twice += known[guest_addr >> 20]++ > 0;
    } else if (m->header.request == REM_MEM_REG) {
        unknown_removed += known[guest_addr >> 20]-- != 1;
    }
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    replies += reply->result == 0;
}

static void on_start(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    *(int *)user_data = reply->result;
}

/* Tells three ranges from there on. The messages are under way when this returns. */
static void change(unsigned first)
{
    vhushmem_guest_memory ram[3];
    for (unsigned i = 0; i < 3; i++) {
        ram[i] = memory_of((uint64_t)(first + i) << 20, PAGE, file, 0);
    }
    ok(vhushmem_frontend_set_memory_async(r.frontend, ram, 3, on_reply, NULL, NULL, &error));
}

static void knows(unsigned first)
{
    CHECK(vhushmem_frontend_is_started(r.frontend));
    pthread_mutex_lock(&r.peer.lock);
    for (unsigned i = 0; i < 8; i++) {
        EQ(known[i], i >= first && i < first + 3);
    }
    EQ(told_twice, 0);
    EQ(unknown_removed, 0);
    pthread_mutex_unlock(&r.peer.lock);
}

int main(void)
{
    int result = 1;
    file = memfd_of(PAGE, 1);
    kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue = queue_of(64, 0, 0x1000, kick_fd);
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.before_answer = look;
    change(0);
    EQ(replies, 1); /* a device that does not run is told when it is started */
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    knows(0);

    change(1);
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    EQ(replies, 2);
    knows(1);

    change(2);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    EQ(replies, 3);
    knows(2);

    /* The same without waiting. Nothing else can begin meanwhile. */
    change(3);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, on_start, &result, NULL, &error));
    vhushmem_guest_memory other = memory_of(7ull << 20, PAGE, file, 0);
    refused(vhushmem_frontend_set_memory(r.frontend, &other, 1, &error), -EALREADY);
    EQ(result, 1);
    PUMP_UNTIL(r.frontend, result <= 0);
    EQ(result, 0);
    EQ(replies, 4);
    knows(3);

    /* A reset that comes while the start waits ends it. */
    result = 1;
    change(4);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, on_start, &result, NULL, &error));
    refused(vhushmem_frontend_reset(r.frontend, &error), -EALREADY);
    PUMP_UNTIL(r.frontend, result <= 0);
    EQ(result, -ECANCELED);

    /* So does the end of the connection. */
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    knows(4);
    result = 1;
    change(1);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, on_start, &result, NULL, &error));
    vhushmem_frontend_free(r.frontend);
    CHECK(result < 0);
    peer_end(&r.peer);
    close(file);
    close(kick_fd);
    return 0;
}
