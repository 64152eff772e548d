/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel limits the descriptors that a user has on their way (ETOOMANYREFS), whoever sent them. A hostile process can
 * use that up for all devices of its user. The library retries a message with a descriptor. In the end the request fails,
 * and no connection ends.
 */
#include "backend-rig.h"
#include "shared-region.h"

#include <stdatomic.h>
#include <sys/syscall.h>

static atomic_bool used_up;
static atomic_int refusals;
static int spared = -1; /* the test's own socket */

/* Takes the place of the C library's function. */
ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    if (message->msg_controllen > 0 && socket != spared && atomic_load(&used_up)) {
        atomic_fetch_add(&refusals, 1);
        errno = ETOOMANYREFS;
        return -1;
    }
    return syscall(SYS_sendmsg, socket, message, flags);
}

static int memory;

static int ended, result;

static void end(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    ended++;
    result = reply->result;
}

/* Long enough for a handshake on a busy machine. */
#define LIMIT_MS 2000

static void front_end_lives(uint32_t call_timeout_ms)
{
    rig r;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .request_timeout_ms = LIMIT_MS, .call_timeout_ms = call_timeout_ms};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features = DEVICE_FEATURES;
    r.peer.answer = device_answer;
    rig_connect(&r, &options);

    vhushmem_guest_memory ram = memory_of(0, PAGE, memory, 0);
    vhushmem_queue queue = queue_of(16, 0, 0x7f0000000000, eventfd(0, EFD_CLOEXEC));
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    atomic_store(&used_up, true);
    int64_t begun = now_ms();
    refused(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error), -ETOOMANYREFS, "ADD_MEM_REG", "RLIMIT_NOFILE");
    CHECK(now_ms() - begun >= (call_timeout_ms != 0 ? call_timeout_ms : LIMIT_MS));
    CHECK(vhushmem_frontend_is_ready(r.frontend) && !vhushmem_frontend_is_started(r.frontend));
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);

    /* Messages without a descriptor go on, even after one that waits. */
    ok(vhushmem_frontend_get_device_status(r.frontend, &error));
    ended = 0;
    atomic_store(&refusals, 0);
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, end, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, atomic_load(&refusals) > 0); /* it has come to the message with a descriptor */
    if (call_timeout_ms == 0) {
        ok(vhushmem_frontend_get_device_status(r.frontend, &error));
        EQ(ended, 1);
        EQ(result, -ETOOMANYREFS);
        ended = 0;
        ok(vhushmem_frontend_start_device_async(r.frontend, 0, &queue, 1, end, NULL, NULL, &error));
    }

    /* When there is room for it, it is sent. */
    atomic_store(&used_up, false);
    PUMP_UNTIL(r.frontend, ended != 0);
    EQ(result, 0);
    CHECK(vhushmem_frontend_is_started(r.frontend));
    CHECK(vhushmem_frontend_is_ready(r.frontend));

    /* A change of memory that could not be told is not made. */
    vhushmem_guest_memory more[2] = {ram, memory_of(PAGE, PAGE, memory, PAGE)};
    atomic_store(&used_up, true);
    refused(vhushmem_frontend_set_memory(r.frontend, more, 2, &error), -ETOOMANYREFS, "ADD_MEM_REG");
    atomic_store(&used_up, false);
    ok(vhushmem_frontend_set_memory(r.frontend, more, 2, &error));
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    rig_close(&r);
    close(queue.kick_fd);
}

/* If a mapping of a shared region could not be told, it is told later, and not taken away if it has gone meanwhile. */
static void shared_mapping_is_told_later(void)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features = DEVICE_FEATURES;
    r.peer.slots = 32;
    r.peer.before_answer = shared_look;
    r.peer.answer = device_answer;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .request_timeout_ms = LIMIT_MS, .region = &shared_keeps};
    rig_connect(&r, &options);
    vhushmem_queue queue = queue_of(16, 0, 0x7f0000000000, eventfd(0, EFD_CLOEXEC));
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    shared_said(&r);
    device_rig_heard(&r);

    spared = r.channel;
    atomic_store(&used_up, true);
    atomic_store(&refusals, 0);
    EQ(rig_map(&r, memory, 0, 0, PAGE, 0), 0);
    EQ(rig_map(&r, memory, 0, PAGE, PAGE, 0), 0);
    PUMP_UNTIL(r.frontend, atomic_load(&refusals) > 0);
    EQ(rig_unmap(&r, 0, PAGE), 0); /* REM_MEM_REG waits behind ADD_MEM_REG */
    pump(r.frontend);
    ok(vhushmem_frontend_get_device_status(r.frontend, &error)); /* after them too: they were given up */
    atomic_store(&used_up, false);
    shared_heard(&r, "37");
    EQ(shared_told.guest_addr, AT + PAGE);
    counts(&r, 1, 0);
    spared = -1;
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    rig_close(&r);
    close(queue.kick_fd);
}

/* The front-end's answer to a look-up waits, and uses no processor time meanwhile. */
static void answer_of_a_front_end_waits(void)
{
    static const uint8_t uuid[16] = {1, 2, 3};
    rig r;
    message m;
    vhushmem_shared_objects *objects = some(vhushmem_shared_objects_new());
    ok(vhushmem_shared_objects_add(objects, uuid, memory, &error));
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.protocol_features = DEVICE_FEATURES | BIT(18);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shared_objects = objects};
    rig_connect(&r, &options);
    atomic_store(&used_up, true);
    atomic_store(&refusals, 0);
    send_message(r.channel, 8, 0x9, uuid, sizeof(uuid), NULL, 0);
    int dispatches = 0;
    for (; atomic_load(&refusals) < 5; dispatches++) {
        CHECK(wait_readable((int)ok(vhushmem_frontend_get_fd(r.frontend)), PATIENCE_MS));
        vhushmem_frontend_dispatch(r.frontend);
    }
    CHECK(dispatches < 50);
    CHECK(!wait_readable(r.channel, 0));
    atomic_store(&used_up, false);
    PUMP_UNTIL(r.frontend, wait_readable(r.channel, 0));
    EQ(receive(r.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, 8);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 0);
    /* And the next answer. */
    send_message(r.channel, 8, 0x9, uuid, sizeof(uuid), NULL, 0);
    PUMP_UNTIL(r.frontend, wait_readable(r.channel, 0));
    EQ(receive(r.channel, &m, PATIENCE_MS), 1);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    rig_close(&r);
    vhushmem_shared_objects_unref(objects);
}

static void reply_of_a_back_end_waits(void)
{
    backend_rig r;
    message m;
    backend_rig_new(&r, PAGE, NULL);
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES | BIT(12) /* INFLIGHT_SHMFD */);
    uint64_t area[3] = {0, 0, 1 | 16 << 16};
    atomic_store(&used_up, true);
    atomic_store(&refusals, 0);
    send_message(r.main, GET_INFLIGHT_FD, 0x9, area, sizeof(area), NULL, 0);
    send_message(r.main, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    int dispatches = 0;
    for (; atomic_load(&refusals) < 5; dispatches++) {
        CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(r.backend)), PATIENCE_MS));
        vhushmem_backend_dispatch(r.backend);
    }
    CHECK(dispatches < 50);
    CHECK(!wait_readable(r.main, 0));
    atomic_store(&used_up, false);
    STEP_UNTIL(wait_readable(r.main, 0), pump_backend(r.backend));
    EQ(receive(r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, GET_INFLIGHT_FD);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    STEP_UNTIL(wait_readable(r.main, 0), pump_backend(r.backend));
    EQ(receive(r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, GET_FEATURES);
    EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    backend_rig_close(&r);
}

static void map_ended(vhushmem_backend *backend, int code, const char *message, void *user_data)
{
    (void)backend;
    CHECK((message != NULL) == (code < 0));
    (void)user_data;
    ended++;
    result = code;
}

static void map_of_a_back_end_fails_alone(void)
{
    backend_rig r;
    message m;
    vhushmem_backend_options options = {.struct_size = sizeof(options), .answer_timeout_ms = 100};
    backend_rig_open(&r, 4 * PAGE, &options);
    atomic_store(&used_up, true);
    err(vhushmem_backend_map(r.backend, 0, memory, 0, 0, PAGE, 0, &error), -ETOOMANYREFS);
    ended = 0;
    ok(vhushmem_backend_map_async(r.backend, 0, memory, 0, 0, PAGE, 0, map_ended, NULL, NULL, &error));
    STEP_UNTIL(ended != 0, pump_backend(r.backend));
    EQ(result, -ETOOMANYREFS);
    atomic_store(&used_up, false);
    ok(vhushmem_backend_map_async(r.backend, 0, memory, 0, 0, PAGE, 0, map_ended, NULL, NULL, &error));
    STEP_UNTIL(wait_readable(r.channel, 0), pump_backend(r.backend));
    EQ(receive(r.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, MAP);
    EQ(m.fd_count, 1);
    close(m.fds[0]);
    backend_rig_close(&r);
}

int main(void)
{
    memory = memfd_of(4 * PAGE, 1);
    front_end_lives(0);
    front_end_lives(500);
    shared_mapping_is_told_later();
    answer_of_a_front_end_waits();
    reply_of_a_back_end_waits();
    map_of_a_back_end_fails_alone();
    close(memory);
    return 0;
}
