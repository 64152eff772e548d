/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callbacks of a back-end never nest. If a callback turns a main loop, while the front-end resets the device and the driver
 * kicks without end, then events, STARTED and KICKED wait until it has returned, in order and bounded. The first callback is
 * told of events from before it was set.
 */
#include "bare-queue.h"

#define RESETS 3000
#define MOST_THAT_WAIT 1024

static GMainContext *context;
static bare_queue b;
static bool inside;
static int told, kicked;

/* A callback turns a loop. No other callback may run meanwhile. */
static void turn_the_loop(const int *count)
{
    CHECK(!inside);
    inside = true;
    int before = *count;
    for (int turn = 0; turn < 40; turn++) {
        g_main_context_iteration(context, FALSE);
    }
    EQ(*count, before);
    inside = false;
}

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    if (event->type == VHUSHMEM_BACKEND_RESET) {
        told++;
        turn_the_loop(&told);
    }
}

/* As many as the socket takes, without need_reply. Returns how many were sent. */
static int send_resets(int sent, int count)
{
    while (sent < count) {
        uint32_t header[3] = {RESET_DEVICE, 1, 0};
        if (send(b.r.main, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            break;
        }
        sent++;
    }
    return sent;
}

static GSource *attach_source(void)
{
    context = g_main_context_new();
    GSource *source = some(vhushmem_backend_source_new(b.r.backend));
    g_source_attach(source, context);
    return source;
}

static void close_all(GSource *source)
{
    g_source_destroy(source);
    g_source_unref(source);
    g_main_context_unref(context);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void resets_without_end(void)
{
    int sent = 0;
    told = 0;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    ok(vhushmem_backend_set_callback(b.r.backend, on_event, NULL, NULL));
    GSource *source = attach_source();
    while (told < RESETS) {
        sent = send_resets(sent, RESETS);
        g_main_context_iteration(context, FALSE);
    }
    EQ(told, RESETS);
    close_all(source);
}

static void kicks(bare_queue *queue, vhushmem_queue_event event)
{
    uint64_t one = 1;
    vhushmem_chain *chain;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    kicked++;
    CHECK(write(queue->kick, &one, 8) == 8);
    turn_the_loop(&kicked);
    while ((chain = vhushmem_backend_pop(queue->r.backend, 0, NULL)) != NULL) {
        EQ(vhushmem_backend_push(queue->r.backend, chain, 0, NULL), 0);
    }
}

/* A kick that comes during KICKED is told after it. So is a reset, but its STOPPED is told at once. */
static void kicks_without_end(void)
{
    bare_queue_open(&b, 0);
    ok(vhushmem_backend_set_callback(b.r.backend, on_event, NULL, NULL));
    GSource *source = attach_source();
    on_queue = kicks;
    kicked = told = 0;
    uint64_t one = 1;
    CHECK(write(b.kick, &one, 8) == 8);
    STEP_UNTIL(kicked == 100, g_main_context_iteration(context, FALSE));
    EQ(send_resets(0, 1), 1);
    STEP_UNTIL(told == 1, g_main_context_iteration(context, FALSE));
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    on_queue = NULL;
    close_all(source);
}

/* ---- before the first callback ---- */

static int order[8], orders;

static void in_order(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    told++;
    if (orders < 8) {
        order[orders++] = (int)event->type;
    }
}

/* A back-end that was never given a callback. */
static vhushmem_backend *bare_back_end(int *main)
{
    int pair[2];
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    *main = pair[0];
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    return backend;
}

static void events_wait(int resets, int told_in_the_end, int first)
{
    uint64_t features = BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE);
    vhushmem_backend *backend = bare_back_end(&b.r.main);
    send_message(b.r.main, SET_PROTOCOL_FEATURES, 0x1, &features, 8, NULL, 0);
    for (int sent = 0; sent < resets;) {
        sent = send_resets(sent, resets);
        while (vhushmem_backend_dispatch(backend) > 0) {}
    }
    told = orders = 0;
    ok(vhushmem_backend_set_callback(backend, in_order, NULL, NULL));
    EQ(told, 0);
    STEP_UNTIL(told == told_in_the_end, {
        CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(backend)), PATIENCE_MS));
        vhushmem_backend_dispatch(backend);
    });
    EQ(order[0], first);
    EQ(order[1], VHUSHMEM_BACKEND_RESET);
    pump_backend(backend);
    EQ(told, told_in_the_end);
    /* And the events at the end, without a connection. */
    close(b.r.main);
    pump_backend(backend);
    EQ(told, told_in_the_end + 1);
    vhushmem_backend_free(backend);
}

static void frees(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    EQ(event->type, VHUSHMEM_BACKEND_CONNECTED);
    ++*(int *)user_data;
    vhushmem_backend_free(backend);
}

/* attach calls no callback: one that frees the back-end would leave the caller of attach with a dangling pointer. */
static void connected_comes_by_dispatch(void)
{
    int pair[2], calls = 0;
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(backend, frees, &calls, NULL));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int fd = (int)ok(vhushmem_backend_get_fd(backend));
    CHECK(!wait_readable(fd, 0));
    ok(vhushmem_backend_attach(backend, pair[1], &error));
    EQ(calls, 0);
    CHECK(wait_readable(fd, PATIENCE_MS));
    vhushmem_backend_dispatch(backend);
    EQ(calls, 1);
    CHECK(hung_up(pair[0], PATIENCE_MS));
    close(pair[0]);
}

int main(void)
{
    char *fds = fds_now();
    resets_without_end();
    kicks_without_end();
    events_wait(3, 4, VHUSHMEM_BACKEND_CONNECTED);
    events_wait(MOST_THAT_WAIT + 10, MOST_THAT_WAIT, VHUSHMEM_BACKEND_RESET);
    connected_comes_by_dispatch();
    same(fds, fds_now());
    return 0;
}
