/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever a front-end is doing, a call whose arguments are refused changes nothing: the status stays, no descriptor is opened,
 * no event comes, the back-end hears nothing, and `destroy` has run once. The states: before a start, while it listens, ready,
 * while its device runs, without its channel, stopped again, and over.
 */
#include "device-rig.h"

static rig r;
static const char *state;
static int destroyed, replies, memory, kick, pipe_end;
static char *before, *fds;
static int events_before;

static void destroy(void *user_data)
{
    (void)user_data;
    destroyed++;
}

static void told(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)reply;
    (void)user_data;
    replies++;
}

static int events(void)
{
    int sum = 0;
    for (int i = 0; i <= VHUSHMEM_EVENT_HEALED; i++) {
        sum += r.events[i];
    }
    return sum;
}

static void look(void)
{
    before = vhushmem_frontend_status_json(r.frontend, 100);
    fds = fds_at_once();
    events_before = events();
    destroyed = replies = 0;
}

static void unchanged(const char *call, int64_t result, int destroys)
{
    if (result >= 0) {
        FAIL("%s: %s is %" PRId64, state, call, result);
    }
    g_clear_error(&error);
    char *after = vhushmem_frontend_status_json(r.frontend, 100);
    if (strcmp(before, after) != 0) {
        FAIL("%s: %s has changed the status\n%s\nto\n%s", state, call, before, after);
    }
    char *fds_after = fds_at_once();
    if (strcmp(fds, fds_after) != 0) {
        FAIL("%s: after %s these descriptors are open:\n%sbefore it were:\n%s", state, call, fds_after, fds);
    }
    free(after);
    free(fds_after);
    EQ(events(), events_before);
    EQ(replies, 0);
    if (destroyed != destroys) {
        FAIL("%s: %s has called destroy %d times", state, call, destroyed);
    }
    destroyed = 0;
}

#define NO(call) unchanged(#call, (int64_t)(call), 0)
#define NO_ASYNC(call) unchanged(#call, (int64_t)(call), 1)
#define ASYNC told, NULL, destroy, &error

static void all(void)
{
    vhushmem_frontend *f = r.frontend;
    vhushmem_guest_memory odd[2] = {memory_of(0, 0, memory, 0), memory_of(0, PAGE, memory, 0)};
    vhushmem_guest_memory twice[2] = {memory_of(0, 2 * PAGE, memory, 0), memory_of(PAGE, PAGE, memory, 0)};
    vhushmem_guest_memory beyond = memory_of(0, PAGE, memory, 1 << 30), part = memory_of(0, 5, memory, 0);
    vhushmem_guest_memory closed = memory_of(0, PAGE, 9999, 0), wraps = memory_of(UINT64_MAX - PAGE + 1, 2 * PAGE, memory, 0);
    vhushmem_guest_memory pipes = memory_of(0, PAGE, pipe_end, 0);
    vhushmem_queue queues[3] = {queue_of(64, 0, 0x10000, kick), queue_of(64, 0, 0x20000, kick), queue_of(64, 0, 0x30000, kick)};
    vhushmem_queue odd_size = queue_of(63, 0, 0x10000, kick), no_kick = queue_of(64, 0, 0x10000, 9999),
                   short_struct = queues[0];
    vhushmem_inflight area = {.fd = 9999, .size = PAGE, .num_queues = 1, .queue_size = 64}, none = {.fd = -1};
    static uint8_t bytes[70000];
    size_t size = sizeof(bytes);
    int fd9[9], use;
    short_struct.struct_size = 4;
    for (int i = 0; i < 9; i++) {
        fd9[i] = memory;
    }
    look();
    NO(vhushmem_frontend_set_memory(f, odd, 1, &error));
    NO(vhushmem_frontend_set_memory(f, odd, 2, &error));
    NO(vhushmem_frontend_set_memory(f, twice, 2, &error));
    NO(vhushmem_frontend_set_memory(f, &beyond, 1, &error));
    NO(vhushmem_frontend_set_memory(f, &part, 1, &error));
    NO(vhushmem_frontend_set_memory(f, &closed, 1, &error));
    NO(vhushmem_frontend_set_memory(f, &wraps, 1, &error));
    NO(vhushmem_frontend_set_memory(f, &pipes, 1, &error));
    NO(vhushmem_frontend_set_memory(f, NULL, 1, &error));
    NO_ASYNC(vhushmem_frontend_set_memory_async(f, twice, 2, ASYNC));
    NO_ASYNC(vhushmem_frontend_set_memory_async(f, &closed, 1, ASYNC));
    NO(vhushmem_frontend_start_device(f, BIT(63), queues, 1, &error));
    NO(vhushmem_frontend_start_device(f, BIT(32), queues, 3, &error));
    NO(vhushmem_frontend_start_device(f, BIT(32), NULL, 1, &error));
    NO(vhushmem_frontend_start_device(f, BIT(32), &odd_size, 1, &error));
    NO(vhushmem_frontend_start_device(f, BIT(32), &no_kick, 1, &error));
    NO(vhushmem_frontend_start_device(f, BIT(32), &short_struct, 1, &error));
    NO_ASYNC(vhushmem_frontend_start_device_async(f, BIT(63), queues, 1, ASYNC));
    NO_ASYNC(vhushmem_frontend_start_device_async(f, BIT(32), &no_kick, 1, ASYNC));
    NO(vhushmem_frontend_enable_queue(f, 5, true, &error));
    NO_ASYNC(vhushmem_frontend_enable_queue_async(f, 5, true, ASYNC));
    NO(vhushmem_frontend_share_mapping(f, NULL, 0, &error));
    NO(vhushmem_frontend_share_region(f, NULL, 0, 0, &error));
    NO(vhushmem_frontend_unshare_region(f, NULL, &error));
    if (r.region != NULL) {
        NO(vhushmem_frontend_share_region(f, r.region, 1, 0, &error));
        NO(vhushmem_frontend_share_region(f, r.region, UINT64_MAX - PAGE + 1, 0, &error));
        NO(vhushmem_frontend_share_region(f, r.region, 0, ~0u, &error));
        NO(vhushmem_frontend_unshare_region(f, r.region, &error));
    }
    NO(vhushmem_frontend_request(f, SET_OWNER, NULL, 0, NULL, 0, 0, NULL, NULL, NULL, &error));
    NO(vhushmem_frontend_request(f, NET_SET_MTU, bytes, sizeof(bytes), NULL, 0, 0, NULL, NULL, NULL, &error));
    NO(vhushmem_frontend_request(f, NET_SET_MTU, NULL, 8, NULL, 0, 0, NULL, NULL, NULL, &error));
    NO(vhushmem_frontend_request(f, NET_SET_MTU, bytes, 8, fd9, 9, 0, NULL, NULL, NULL, &error));
    NO(vhushmem_frontend_request(f, NET_SET_MTU, bytes, 8, NULL, 1, 0, NULL, NULL, NULL, &error));
    NO(vhushmem_frontend_request(f, NET_SET_MTU, bytes, 8, NULL, 0, ~0u, bytes, &size, NULL, &error));
    NO_ASYNC(vhushmem_frontend_request_async(f, SET_OWNER, NULL, 0, NULL, 0, 0, ASYNC));
    NO_ASYNC(vhushmem_frontend_request_async(f, NET_SET_MTU, bytes, 8, fd9, 9, 0, ASYNC));
    NO(vhushmem_frontend_get_config(f, 0, bytes, 70000, &error));
    NO(vhushmem_frontend_get_config(f, 0, NULL, 8, &error));
    NO_ASYNC(vhushmem_frontend_get_config_async(f, UINT32_MAX, 8, ASYNC));
    NO(vhushmem_frontend_set_config(f, 0, bytes, 70000, 0, &error));
    NO(vhushmem_frontend_set_config(f, 0, bytes, 8, ~0u, &error));
    NO_ASYNC(vhushmem_frontend_set_config_async(f, 0, bytes, 8, ~0u, ASYNC));
    NO(vhushmem_frontend_get_shared_object(f, NULL, &error));
    NO(vhushmem_frontend_set_log(f, 9999, 0, PAGE, &error));
    NO(vhushmem_frontend_set_log(f, memory, 0, 0, &error));
    NO_ASYNC(vhushmem_frontend_set_log_async(f, 9999, 0, PAGE, ASYNC));
    NO(vhushmem_frontend_set_log_fd(f, 9999, &error));
    NO_ASYNC(vhushmem_frontend_set_log_fd_async(f, 9999, ASYNC));
    NO(vhushmem_frontend_set_queue_endian(f, 77, true, &error));
    NO(vhushmem_frontend_kick_queue(f, 77, &error));
    NO_ASYNC(vhushmem_frontend_kick_queue_async(f, 77, ASYNC));
    NO(vhushmem_frontend_get_inflight(f, 0, 64, &area, &error));
    NO(vhushmem_frontend_get_inflight(f, 1, 0, &none, &error));
    NO(vhushmem_frontend_get_inflight(f, 99, 64, &none, &error));
    NO_ASYNC(vhushmem_frontend_get_inflight_async(f, 0, 64, ASYNC));
    area.fd = 9999;
    NO(vhushmem_frontend_set_inflight(f, &area, &error));
    NO(vhushmem_frontend_set_device_state_fd(f, 7, pipe_end, &use, &error));
    NO(vhushmem_frontend_set_device_state_fd(f, 0, 9999, &use, &error));
    NO_ASYNC(vhushmem_frontend_set_device_state_fd_async(f, 7, pipe_end, ASYNC));
    NO(vhushmem_frontend_add_region(f, 0, 5, &error));
    NO(vhushmem_frontend_add_region(f, 0, 0, &error));
    NO(vhushmem_frontend_call_fd(f, 300));
    free(before);
    free(fds);
}

/* And the back-end hears nothing. */
static void all_in(const char *name)
{
    state = name;
    device_rig_heard(&r);
    all();
    HEARD(&r, "");
}

int main(void)
{
    int ends[2];
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = 2, .flags = VHUSHMEM_FRONTEND_SERVER};
    memory = memfd_of(4 * PAGE, 1);
    kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pipe_end = ends[1];

    /* Listening, and never found. */
    r.frontend = some(vhushmem_frontend_new("refused.sock", &options, &error));
    r.device = some(vhushmem_frontend_device(r.frontend));
    ok(vhushmem_frontend_set_callback(r.frontend, rig_event, &r, NULL));
    ok(vhushmem_frontend_get_fd(r.frontend));
    state = "new";
    all();
    ok(vhushmem_frontend_start(r.frontend, &error));
    state = "listening";
    all();
    vhushmem_frontend_free(r.frontend);

    device_rig_open(&r, 2, DEVICE_FEATURES);
    all_in("ready");
    vhushmem_queue queues[2] = {queue_of(64, 0, 0x10000, kick), queue_of(64, 0, 0x20000, kick)};
    vhushmem_guest_memory ram = memory_of(0, PAGE, memory, 0);
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r.frontend, BIT(32), queues, 2, &error));
    all_in("started");
    shutdown(r.peer.channel, SHUT_RDWR);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    all_in("without a channel");
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 2);
    all_in("stopped");
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    all_in("over");
    rig_close(&r);

    close(ends[0]);
    close(ends[1]);
    close(kick);
    close(memory);
    return 0;
}
