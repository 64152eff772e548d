/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three front-ends and whoever is at their other ends, in random order and from inside each other's callbacks: maps, requests, resets,
 * lost connections, listeners that come and go, frees. Nothing is called that was freed, each `destroy` runs once, nothing leaks.
 * One thread, so that a seed tells the whole story but for time limits that pass.
 */
#include "random.h"
#include "rig.h"

#include <vhushmem/series.h>

#define LIVES 3
#define PAGES 16
#define DEEPEST 4
#define FEATURES (PROTOCOL_DEFAULTS | BIT(16)) /* and STATUS */

typedef struct life life;

/* What callbacks get: it outlives the front-end by as long as the library needs it, and no longer. */
typedef struct token {
    life *of;
    bool is_answer, called;
} token;

struct life {
    vhushmem_frontend *frontend; /* NULL: freed */
    vhushmem_backend *backend;   /* ours; or NULL, and then bytes are written to `main` and `channel` */
    int main, channel;
    vhushmem_device *device; /* referenced */
    vhushmem_region *region; /* NULL until READY */
    GSource *source;
    MemoryListener listener;
    bool is_listening, is_over;
    int inside_listener;
    token *events;
};

static life lives[LIVES];
static uint64_t state;
static int depth, tokens, file;
static uint64_t calls_back, frees_inside;

static uint64_t below(uint64_t limit) { return random_below(&state, limit); }

static void act(void);

static void act_inside(void)
{
    calls_back++;
    if (depth < DEEPEST) {
        depth++;
        for (uint64_t n = below(3); n > 0; n--) {
            act();
        }
        depth--;
    }
}

/* ---- tokens and callbacks ---- */

static token *token_for(life *l, bool is_answer)
{
    token *t = calloc(1, sizeof(*t));
    CHECK(t != NULL);
    *t = (token){.of = l, .is_answer = is_answer};
    tokens++;
    return t;
}

static void destroyed(void *user_data)
{
    tokens--;
    free(user_data);
    act_inside();
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    life *l = ((token *)user_data)->of;
    CHECK(l->frontend == frontend);
    CHECK(l->events == user_data);
    CHECK(!l->is_over);
    CHECK((event->result == 0) == (event->message == NULL));
    if (event->type == VHUSHMEM_EVENT_READY) {
        l->region = some(vhushmem_device_find_region(l->device, 0));
    }
    l->is_over = event->type == VHUSHMEM_EVENT_DISCONNECT;
    act_inside();
}

static int on_request(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    CHECK(((token *)user_data)->of->frontend == frontend);
    CHECK(request->nfds <= 8);
    act_inside();
    return below(2) ? 0 : -EINVAL;
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    token *t = user_data;
    CHECK(t->is_answer && !t->called && frontend != NULL);
    CHECK((reply->result == 0) == (reply->message == NULL));
    t->called = true;
    act_inside();
}

static void on_section(MemoryListener *listener, MemoryRegionSection *section)
{
    life *l = (life *)((char *)listener - offsetof(life, listener));
    CHECK(section->size > 0);
    l->inside_listener++;
    act_inside();
    l->inside_listener--;
}

static void on_commit(MemoryListener *listener)
{
    life *l = (life *)((char *)listener - offsetof(life, listener));
    l->inside_listener++;
    act_inside();
    l->inside_listener--;
}

static void on_backend_event(vhushmem_backend *backend, vhushmem_backend_event event, const char *message, void *user_data)
{
    CHECK(((token *)user_data)->of->backend == backend);
    CHECK((message != NULL) == (event == VHUSHMEM_BACKEND_DISCONNECT));
    act_inside();
}

/* ---- the other end, where it speaks bytes ---- */

static void answer(life *l, const message *m)
{
    static const VhostUserShMemConfig config = {.nregions = 1, .memory_sizes = {PAGES * 4096}};
    uint8_t bytes[64] = {0};
    uint64_t value = 0;
    uint32_t size = 8;
    bool has_reply = true;
    switch (m->header.request) {
    case GET_FEATURES:
        value = VIRTIO_DEFAULTS;
        break;
    case GET_PROTOCOL_FEATURES:
        value = FEATURES;
        break;
    case GET_QUEUE_NUM:
    case GET_MAX_MEM_SLOTS:
        value = 4;
        break;
    case GET_SHMEM_CONFIG:
        try_send_message(l->main, GET_SHMEM_CONFIG, 0x5, &config, sizeof(config), NULL, 0);
        return;
    case GET_CONFIG:
        size = m->header.size < sizeof(bytes) ? m->header.size : sizeof(bytes);
        memcpy(bytes, m->payload, size);
        try_send_message(l->main, GET_CONFIG, 0x5, bytes, size, NULL, 0);
        return;
    case GET_VRING_BASE:
    case GET_STATUS:
        break;
    default:
        has_reply = false;
    }
    if (has_reply || (m->header.flags & VHOST_USER_NEED_REPLY_MASK) != 0) {
        value = has_reply || below(50) ? value : 1;
        try_send_message(l->main, m->header.request, 0x5, &value, size, NULL, 0);
    }
}

static void listen_and_answer(life *l)
{
    message m;
    if (l->main < 0 || !wait_readable(l->main, 0) || receive(l->main, &m, 0) != 1) {
        return;
    }
    if (m.header.request == SET_BACKEND_REQ_FD && m.fd_count == 1 && l->channel < 0) {
        l->channel = m.fds[0];
        m.fd_count = 0;
        CHECK(fcntl(l->channel, F_SETFL, O_NONBLOCK) == 0);
    }
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    answer(l, &m);
}

static void ask_on_the_channel(life *l, uint32_t request)
{
    uint64_t page = PAGE;
    VhostUserMMap m = mmap_of(0, below(2) * page, below(PAGES) * page, page, below(2));
    if (l->backend != NULL) {
        /* It agreed to no acknowledgements, and so waits for none. */
        (void)(request == MAP ? vhushmem_backend_map(l->backend, 0, file, 0, m.shm_offset, page, 0, NULL)
                              : vhushmem_backend_unmap(l->backend, 0, m.shm_offset, page, NULL));
    } else if (l->channel >= 0) {
        uint8_t bytes[256];
        while (recv(l->channel, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {}
        try_send_message(l->channel, request, below(2) ? 0x9 : 0x1, &m, sizeof(m), &file, request == MAP ? 1 : 0);
    }
}

static void hang_up(life *l, bool channel_only)
{
    if (l->backend != NULL && !channel_only) {
        vhushmem_backend *backend = l->backend;
        l->backend = NULL;
        vhushmem_backend_free(backend);
    }
    int *socket = channel_only ? &l->channel : &l->main;
    if (*socket >= 0) {
        close(*socket);
        *socket = -1;
    }
}

/* ---- what may be called ---- */

static void free_front_end(life *l)
{
    vhushmem_frontend *frontend = l->frontend;
    frees_inside += depth > 0;
    l->frontend = NULL;
    vhushmem_frontend_free(frontend);
}

/* Blocking; half of the time somebody has answered beforehand, else it ends in a time-out and with it the connection. */
static void block(life *l)
{
    uint64_t status = 0;
    if (l->main >= 0 && below(8) != 0) {
        try_send_message(l->main, GET_STATUS, 0x5, &status, sizeof(status), NULL, 0);
    }
    (void)vhushmem_frontend_get_device_status(l->frontend, NULL);
}

static void request(life *l)
{
    vhushmem_guest_memory memory = {.guest_addr = below(4) << 20, .size = 4096, .host = (void *)0x10000, .fd = file};
    vhushmem_queue queue = {.struct_size = sizeof(queue), .size = 16, .kick_fd = file, .call_fd = -1};
    switch (below(6)) {
    case 0:
        (void)vhushmem_frontend_get_config_async(l->frontend, 0, 8, on_reply, token_for(l, true), destroyed, NULL);
        break;
    case 1:
        (void)vhushmem_frontend_get_device_status_async(l->frontend, on_reply, token_for(l, true), destroyed, NULL);
        break;
    case 2:
        (void)vhushmem_frontend_start_device_async(l->frontend, 0, &queue, 1, on_reply, token_for(l, true), destroyed, NULL);
        break;
    case 3:
        (void)vhushmem_frontend_stop_device_async(l->frontend, on_reply, token_for(l, true), destroyed, NULL);
        break;
    case 4:
        if (!vhushmem_frontend_is_started(l->frontend)) { /* of a device that runs it would wait for an answer */
            (void)vhushmem_frontend_set_memory(l->frontend, &memory, 1, NULL);
        }
        break;
    default:
        if (below(10) == 0) {
            block(l);
        }
    }
}

static void use_region(life *l)
{
    uint64_t page = PAGE, at = below(PAGES) * page, word;
    switch (below(6)) {
    case 0:
        (void)vhushmem_region_map(l->region, file, 0, at, page, below(2), NULL);
        break;
    case 1:
        (void)vhushmem_region_unmap(l->region, at, page, NULL);
        break;
    case 2:
        (void)vhushmem_device_unmap_all(l->device);
        break;
    case 3:
        (void)vhushmem_region_translate(l->region, at, 8, false);
        (void)vhushmem_region_read(l->region, at, &word, sizeof(word), NULL);
        break;
    case 4:
        if (!l->is_listening && l->inside_listener == 0) {
            l->is_listening = true;
            l->listener = (MemoryListener){.region_add = on_section, .region_del = on_section, .commit = on_commit};
            memory_listener_register(&l->listener, virtio_shmem_memory_region(l->region));
        }
        break;
    default:
        if (l->is_listening && l->inside_listener == 0 && below(3) == 0) {
            l->is_listening = false;
            memory_listener_unregister(&l->listener);
        }
    }
}

static void use_front_end(life *l)
{
    switch (below(12)) {
    case 0:
        (void)vhushmem_frontend_reset(l->frontend, NULL);
        break;
    case 1:
        if (below(20) == 0) {
            free_front_end(l);
        }
        break;
    case 2:
        l->events = token_for(l, false);
        ok(vhushmem_frontend_set_callback(l->frontend, on_event, l->events, destroyed));
        break;
    case 3:
        ok(vhushmem_frontend_set_request_callback(l->frontend, on_request, token_for(l, false), destroyed));
        break;
    case 4:
        request(l);
        break;
    case 5:
        if (l->source == NULL) {
            l->source = some(vhushmem_frontend_source_new(l->frontend));
            g_source_attach(l->source, NULL);
        } else if (below(4) == 0) {
            GSource *source = l->source;
            l->source = NULL;
            g_source_destroy(source);
            g_source_unref(source);
        }
        break;
    case 6:
        while (g_main_context_iteration(NULL, FALSE) && below(3)) {}
        break;
    default:
        (void)vhushmem_frontend_dispatch(l->frontend);
    }
}

static void act(void)
{
    life *l = &lives[below(LIVES)];
    uint64_t what = below(100);
    if (what < 30) {
        l->backend != NULL ? (void)vhushmem_backend_dispatch(l->backend) : listen_and_answer(l);
    } else if (what < 50) {
        ask_on_the_channel(l, below(3) ? MAP : UNMAP);
    } else if (what < 54 && l->channel >= 0 && l->backend == NULL) {
        uint32_t request = (uint32_t)below(12);
        try_send_message(l->channel, request, below(2) ? 0x9 : 0x1, "0123456789abcdef", (uint32_t)below(17), NULL, 0);
    } else if (what == 54 && below(10) == 0) {
        hang_up(l, below(2) == 0);
    } else if (what < 75 && l->region != NULL) {
        use_region(l);
    } else if (l->frontend != NULL) {
        use_front_end(l);
    }
}

/* ---- life and death, at the top level alone ---- */

static void begin(life *l)
{
    int pair[2];
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = 5, .message_timeout_ms = 5};
    options.flags = below(4) == 0 ? VHUSHMEM_FRONTEND_KEEP_MAPPINGS : 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    memset(l, 0, sizeof(*l));
    l->main = l->channel = -1;
    l->frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    l->device = vhushmem_device_ref(vhushmem_frontend_device(l->frontend));
    l->events = token_for(l, false);
    ok(vhushmem_frontend_set_callback(l->frontend, on_event, l->events, destroyed));
    if (below(4) != 0) {
        l->main = pair[1];
    } else {
        vhushmem_backend_options back = {.struct_size = sizeof(back), .protocol_features = FEATURES & ~BIT(3) & ~BIT(16)};
        l->backend = some(vhushmem_backend_new(&back, &error));
        ok(vhushmem_backend_set_callback(l->backend, on_backend_event, token_for(l, false), destroyed));
        ok(vhushmem_backend_add_region(l->backend, 0, PAGES * PAGE, &error));
        ok(vhushmem_backend_attach(l->backend, pair[1], &error));
    }
    ok(vhushmem_frontend_start(l->frontend, &error));
}

static void end(life *l)
{
    if (l->is_listening) {
        l->is_listening = false;
        memory_listener_unregister(&l->listener);
    }
    if (l->frontend != NULL) {
        free_front_end(l);
    }
    if (l->source != NULL) {
        CHECK(g_source_is_destroyed(l->source));
        g_source_unref(l->source);
        l->source = NULL;
    }
    hang_up(l, false);
    hang_up(l, true);
    l->region = NULL;
    vhushmem_device *device = l->device;
    l->device = NULL;
    vhushmem_device_unref(device);
}

static void run(int count)
{
    for (int i = 0; i < LIVES; i++) {
        begin(&lives[i]);
    }
    for (int i = 0; i < count; i++) {
        life *l = &lives[below(LIVES)];
        if ((l->frontend == NULL || l->is_over) && below(10) == 0) {
            depth = DEEPEST; /* while its parts go nobody uses them */
            end(l);
            begin(l);
            depth = 0;
        }
        act();
    }
    depth = DEEPEST;
    for (int i = 0; i < LIVES; i++) {
        end(&lives[i]);
    }
    depth = 0;
    while (g_main_context_iteration(NULL, FALSE)) {}
    EQ(tokens, 0);
}

int main(void)
{
    if (PAGE != 4096) {
        skip("the answers are written for pages of 4096 bytes");
    }
    state = random_seed();
    file = memfd_of(4 * PAGE, 1);
    run(steps(20000)); /* what the first use leaves behind for good is there now */
    char *fds = fds_now(), *maps = maps_now();
    run(many_steps(100000));
    same(fds, fds_now());
    same(maps, maps_now());
    CHECK(calls_back > 0 && (frees_inside > 0 || under_valgrind()));
    close(file);
    return 0;
}
