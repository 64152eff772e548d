/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two front-ends on one loop, whose back-ends send requests and maps without end, with and without acknowledgements. Each
 * callback does what a program may do: it asks and waits, asks without waiting, turns the loop, dispatches either front-end,
 * resets, starts, stops, takes its own callback away or frees its front-end, in random order. Callbacks of one front-end never
 * nest, none comes after the front-end was freed, and each accepted request ends once.
 */
#include "device-rig.h"
#include "random.h"

#include <poll.h>

#define FRONTENDS 2

typedef struct side {
    rig r;
    GSource *source;
    int inside, steps;
    int asked, replied, destroyed, refused;
    bool is_freed;
    int file, kick;
} side;

static side sides[FRONTENDS];
static GMainContext *context;
static uint64_t random_state;
static int deepest, depth;
static long actions;

static uint64_t below(uint64_t limit) { return random_below(&random_state, limit); }

static void act(side *s);

static void enter(side *s)
{
    CHECK(!s->is_freed);
    CHECK(s->inside == 0);
    s->inside++;
    depth++;
    deepest = MAX(deepest, depth);
    CHECK(depth <= FRONTENDS);
}

static void leave(side *s)
{
    s->inside--;
    depth--;
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    side *s = user_data;
    CHECK(frontend == s->r.frontend);
    enter(s);
    s->r.events[event->type]++;
    if (event->type != VHUSHMEM_EVENT_READY && below(4) == 0) {
        act(s);
    }
    leave(s);
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    side *s = user_data;
    CHECK(frontend == s->r.frontend);
    (void)reply;
    /* The end of a front-end tells the remaining replies. They may not use it any more. */
    if (s->is_freed) {
        s->replied++;
        return;
    }
    enter(s);
    s->replied++;
    if (below(3) == 0) {
        act(s);
    }
    leave(s);
}

static void on_destroy(void *user_data) { ((side *)user_data)->destroyed++; }

static void ask(side *s)
{
    int result;
    vhushmem_queue queue = queue_of(64, 0, 0x10000, s->kick);
    s->asked++;
    switch (below(4)) {
    case 0:
        result = vhushmem_frontend_get_config_async(s->r.frontend, 0, 4, on_reply, s, on_destroy, &error);
        break;
    case 1:
        result = vhushmem_frontend_start_device_async(s->r.frontend, BIT(32), &queue, 1, on_reply, s, on_destroy, &error);
        break;
    case 2:
        result = vhushmem_frontend_stop_device_async(s->r.frontend, on_reply, s, on_destroy, &error);
        break;
    default:
        result = vhushmem_frontend_get_device_status_async(s->r.frontend, on_reply, s, on_destroy, &error);
        break;
    }
    s->refused += result < 0;
    g_clear_error(&error);
}

static void free_it(side *s)
{
    s->is_freed = true;
    vhushmem_frontend_free(s->r.frontend);
}

/* Something that a program may do. A front-end that is gone is not touched. */
static void act(side *s)
{
    uint8_t byte;
    side *other = &sides[below(FRONTENDS)];
    vhushmem_queue queue = queue_of(64, 0, 0x10000, s->kick);
    actions++;
    if (s->is_freed) {
        return;
    }
    switch (below(14)) {
    case 0:
        (void)vhushmem_frontend_get_config(s->r.frontend, 0, &byte, 1, &error);
        break;
    case 1:
        (void)vhushmem_frontend_get_device_status(s->r.frontend, &error);
        break;
    case 2:
    case 3:
        for (uint64_t turns = below(8); turns > 0; turns--) {
            g_main_context_iteration(context, FALSE);
        }
        break;
    case 4:
        if (!other->is_freed) {
            (void)vhushmem_frontend_dispatch(other->r.frontend);
        }
        break;
    case 5:
        (void)vhushmem_frontend_reset(s->r.frontend, &error);
        break;
    case 6:
        (void)vhushmem_frontend_start_device(s->r.frontend, BIT(32), &queue, 1, &error);
        break;
    case 7:
        (void)vhushmem_frontend_stop_device(s->r.frontend, NULL, 0, &error);
        break;
    case 8:
        (void)vhushmem_frontend_set_callback(s->r.frontend, NULL, NULL, NULL);
        break;
    case 9:
        if (!s->is_freed) {
            (void)vhushmem_frontend_set_callback(s->r.frontend, on_event, s, NULL);
        }
        break;
    case 10:
        if (below(20) == 0) {
            free_it(below(2) == 0 && !other->is_freed ? other : s);
        }
        break;
    default:
        ask(s);
    }
    g_clear_error(&error);
}

/* The back-end sends as much as the socket takes. */
static void flood(side *s)
{
    for (int i = 0; i < 64; i++) {
        VhostUserMMap m = mmap_of(0, 0, below(20) * PAGE, PAGE, 0);
        uint32_t request = below(3) == 0 ? MAP : below(2) == 0 ? UNMAP : 100 + (uint32_t)below(3);
        uint8_t bytes[12 + sizeof(m)];
        VhostUserHeader header = {request, 1, request >= 100 ? 0 : sizeof(m)};
        memcpy(bytes, &header, 12);
        memcpy(bytes + 12, &m, sizeof(m));
        if (poll(&(struct pollfd){s->r.peer.channel, POLLOUT, 0}, 1, 0) != 1 ||
            try_send_bytes(s->r.peer.channel, bytes, 12 + header.size, &s->file, request == MAP ? 1 : 0) < 0) {
            return;
        }
    }
}

static void open_side(side *s, uint64_t features)
{
    memset(s, 0, sizeof(*s));
    device_rig_open(&s->r, 1, features);
    s->file = memfd_of(PAGE, 1);
    s->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ok(vhushmem_frontend_set_callback(s->r.frontend, on_event, s, NULL));
    s->source = some(vhushmem_frontend_source_new(s->r.frontend));
    g_source_attach(s->source, context);
}

static void close_side(side *s)
{
    if (!s->is_freed) {
        free_it(s);
    }
    EQ(s->destroyed, s->asked);
    EQ(s->replied, s->asked - s->refused);
    g_source_destroy(s->source);
    g_source_unref(s->source);
    peer_end(&s->r.peer);
    close(s->file);
    close(s->kick);
}

int main(void)
{
    int rounds = many_steps(20);
    random_state = random_seed();
    context = g_main_context_new();
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < FRONTENDS; i++) {
            open_side(&sides[i], DEVICE_FEATURES & ~(below(2) == 0 ? BIT(3) : 0) & ~(below(3) == 0 ? BIT(13) : 0));
        }
        for (int turn = 0; turn < 150; turn++) {
            for (int i = 0; i < FRONTENDS; i++) {
                if (!sides[i].is_freed) {
                    flood(&sides[i]);
                }
            }
            g_main_context_iteration(context, FALSE);
        }
        for (int i = 0; i < FRONTENDS; i++) {
            close_side(&sides[i]);
        }
    }
    printf("note: %ld actions, at most %d callbacks deep\n", actions, deepest);
    g_main_context_unref(context);
    return 0;
}
