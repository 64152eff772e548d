/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_VRING_KICK without a descriptor: the back-end looks at the queue by itself, at times that its descriptor and its
 * GSource tell. INBAND_NOTIFICATIONS, where messages kick, does not count without the other features that the specification
 * requires for it.
 */
#include "bare-queue.h"

#define NO_FD 0x100

static bool takes;

static void device(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    while (event == VHUSHMEM_QUEUE_KICKED && takes && (chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        EQ(vhushmem_backend_push(b->r.backend, chain, 0, NULL), 0);
    }
    vhushmem_backend_notify(b->r.backend, 0, NULL);
}

static void open_polled(bare_queue *b)
{
    on_queue = device;
    takes = true;
    bare_queue_init(b);
    bare_queue_connect(b, BARE_FEATURES);
    tell_ram(b);
    EQ(tell_vring(b, SET_VRING_NUM, 0, b->size), 0);
    EQ(tell_rings(b, 0, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    /* The driver is not called, or told of errors: it polls as well. */
    EQ(tell_u64(b, SET_VRING_CALL, NO_FD, -1), 0);
    EQ(tell_u64(b, SET_VRING_ERR, NO_FD, -1), 0);
    EQ(tell_u64(b, SET_VRING_KICK, NO_FD, -1), 0);
    EQ(tell_vring(b, SET_VRING_ENABLE, 0, 1), 0);
    CHECK(vhushmem_backend_queue_is_running(b->r.backend, 0));
    set_descriptor(b, 3, BUFFERS, 4, 0, 0);
    set_descriptor(b, 4, BUFFERS, 4, 0, 0);
}

static void dispatch_when_ready(bare_queue *b)
{
    CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(b->r.backend)), PATIENCE_MS));
    ok(vhushmem_backend_dispatch(b->r.backend));
}

static void by_the_descriptor(void)
{
    bare_queue b;
    open_polled(&b);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 1);
    for (int i = 0; i < 3; i++) {
        int back = -1;
        offer(&b, 3);
        STEP_UNTIL((back = taken_back(&b)) >= 0, dispatch_when_ready(&b));
        EQ(back, 3);
        EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 2 + i);
    }
    /* Without new chains nothing is told. Chains that the device leaves in the queue are told once, and again with the next
       ones. */
    takes = false;
    offer(&b, 3);
    STEP_UNTIL(b.seen[VHUSHMEM_QUEUE_KICKED] == 5, dispatch_when_ready(&b));
    for (int i = 0; i < 5; i++) {
        dispatch_when_ready(&b);
    }
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 5);
    takes = true;
    offer(&b, 4);
    STEP_UNTIL(b.seen[VHUSHMEM_QUEUE_KICKED] == 6, dispatch_when_ready(&b));
    EQ(taken_back(&b), 3);
    EQ(taken_back(&b), 4);
    /* An impossible index breaks it, as with a kick. */
    b.avail_idx += 100;
    offer(&b, 3);
    STEP_UNTIL(b.seen[VHUSHMEM_QUEUE_BROKEN] == 1, dispatch_when_ready(&b));
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* The looks become rare where nothing comes, and end with the queue. */
static void looks_are_few(void)
{
    bare_queue b;
    open_polled(&b);
    int looks = 0;
    int64_t begin = now_ms(), end;
    while ((end = now_ms()) - begin < 300 || looks < 2) {
        CHECK(end - begin < PATIENCE_MS);
        if (wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 1)) {
            looks++;
            ok(vhushmem_backend_dispatch(b.r.backend));
        }
    }
    CHECK(looks <= 10 + (end - begin) / 15);
    EQ(stop_queue(&b), 0);
    STEP_UNTIL(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 100), ok(vhushmem_backend_dispatch(b.r.backend)));
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void by_a_source(void)
{
    bare_queue b;
    int back = -1;
    open_polled(&b);
    GMainContext *context = g_main_context_new();
    GSource *source = some(vhushmem_backend_source_new(b.r.backend));
    g_source_attach(source, context);
    offer(&b, 4);
    STEP_UNTIL((back = taken_back(&b)) >= 0, g_main_context_iteration(context, TRUE));
    EQ(back, 4);
    /* The queue has a descriptor from now on. */
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, b.call), 0);
    CHECK(signalled(b.call));
    STEP_UNTIL(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 100), ok(vhushmem_backend_dispatch(b.r.backend)));
    offer(&b, 3);
    kick(&b);
    EQ(taken_back(&b), 3);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_context_unref(context);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* A device that said that it wants no kicks looks by itself. */
static void not_wanted(void)
{
    bare_queue b;
    open_polled(&b);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, NULL), 0);
    offer(&b, 3);
    for (int i = 0; i < 3; i++) {
        dispatch_when_ready(&b);
    }
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 1);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void in_band(void)
{
    const uint64_t without[] = {BIT(5), BIT(3), BIT(3) | BIT(5)};
    const uint64_t others = BIT(0) | BIT(12) | BIT(13) | BIT(15) | BIT(16);
    vhushmem_backend_options options = {.struct_size = sizeof(options), .protocol_features = UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        backend_rig r;
        uint64_t accepted = (others | BIT(3) | BIT(5) | BIT(14)) & ~without[i];
        backend_rig_new(&r, 16 * PAGE, &options);
        CHECK(backend_rig_get(&r, GET_PROTOCOL_FEATURES) & BIT(14));
        backend_rig_set(&r, SET_PROTOCOL_FEATURES, &accepted, 8, NULL, 0);
        EQ(vhushmem_backend_protocol_features(r.backend), accepted & ~BIT(14));
        EQ(backend_rig_get(&r, GET_QUEUE_NUM), 1);
        backend_rig_close(&r);
    }
    bare_queue b;
    bare_queue_offer = UINT64_MAX;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES | BIT(14));
    EQ(vhushmem_backend_protocol_features(b.r.backend), BARE_FEATURES | BIT(14));
    bare_queue_offer = 0;
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    /* Features that were not offered are refused, and negotiated ones stay. */
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_PROTOCOL_FEATURES, BARE_FEATURES | BIT(14), -1), -EINVAL);
    EQ(vhushmem_backend_protocol_features(b.r.backend), BARE_FEATURES);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    by_the_descriptor();
    looks_are_few();
    by_a_source();
    not_wanted();
    in_band();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
