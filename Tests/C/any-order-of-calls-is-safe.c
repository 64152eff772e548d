/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three front-ends and their peers, in random order and from inside each other's callbacks: maps, requests, resets, lost
 * connections, listeners that come and go, frees. The library never calls what was freed, each `destroy` runs once, and
 * nothing leaks. There is one thread, so that a seed reproduces everything except time limits that pass.
 */
#include "lives.h"

static int depth, tokens;
static uint64_t calls_back, frees_inside, starts_reset, ready_inside;

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

/* A VMM that cannot do anything without its device. */
static void wait_for_the_next(life *l)
{
    for (int i = 0; i < 100 && depth == 0 && l->frontend != NULL && l->listener_fd >= 0; i++) {
        bool was_ready = vhushmem_frontend_is_ready(l->frontend);
        wait_readable((int)ok(vhushmem_frontend_get_fd(l->frontend)), 1);
        depth = DEEPEST; /* no callback acts meanwhile */
        listen_and_answer(l);
        (void)vhushmem_frontend_dispatch(l->frontend);
        depth = 0;
        if (!was_ready && l->frontend != NULL && vhushmem_frontend_is_ready(l->frontend)) {
            ready_inside++;
            return;
        }
    }
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
    /* A front-end that reconnects goes on if it was ready before. */
    l->is_over = event->type == VHUSHMEM_EVENT_DISCONNECT && (l->listener_fd < 0 || l->region == NULL);
    act_inside();
    if (event->type == VHUSHMEM_EVENT_DISCONNECT && below(2) == 0) {
        wait_for_the_next(l);
    }
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
    starts_reset += reply->result == -ECANCELED;
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

static void on_backend_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    CHECK(((token *)user_data)->of->backend == backend);
    CHECK((event->message != NULL) == (event->type == VHUSHMEM_BACKEND_DISCONNECT));
    act_inside();
}

/* ---- what may be called ---- */

static void free_front_end(life *l)
{
    vhushmem_frontend *frontend = l->frontend;
    frees_inside += depth > 0;
    l->frontend = NULL;
    vhushmem_frontend_free(frontend);
}

/* A blocking call. Half of the time, the answer was sent before; otherwise the call times out, and the connection ends. */
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
    vhushmem_guest_memory memory = {
        .struct_size = sizeof(memory), .guest_addr = below(4) << 20, .size = PAGE, .host = (void *)0x10000, .fd = file};
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
        if (!vhushmem_frontend_is_started(l->frontend)) { /* if the device runs, the call waits for an answer */
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
    if (below(2) == 0) { /* on a busy machine, 5 ms may be too little for any handshake */
        options.request_timeout_ms = 500;
    }
    options.flags = below(4) == 0 ? VHUSHMEM_FRONTEND_KEEP_MAPPINGS : 0;
    memset(l, 0, sizeof(*l));
    l->main = l->channel = l->listener_fd = -1;
    bool comes_back = below(3) == 0;
    if (comes_back) {
        char path[100];
        listen_for(l);
        path_of(l, path, sizeof(path));
        options.reconnect_ms = 1;
        l->frontend = some(vhushmem_frontend_new(path, &options, &error));
    } else {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        l->frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    }
    l->device = vhushmem_device_ref(vhushmem_frontend_device(l->frontend));
    l->events = token_for(l, false);
    ok(vhushmem_frontend_set_callback(l->frontend, on_event, l->events, destroyed));
    if (!comes_back && below(4) != 0) {
        l->main = pair[1];
    } else if (!comes_back) {
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
    if (l->listener_fd >= 0) {
        close(l->listener_fd);
    }
    l->region = NULL;
    vhushmem_device *device = l->device;
    l->device = NULL;
    vhushmem_device_unref(device);
}

static void run(int count)
{
    depth = DEEPEST; /* no callback uses what does not exist yet */
    for (int i = 0; i < LIVES; i++) {
        begin(&lives[i]);
    }
    depth = 0;
    for (int i = 0; i < count; i++) {
        life *l = &lives[below(LIVES)];
        if ((l->frontend == NULL || l->is_over) && below(10) == 0) {
            depth = DEEPEST; /* no callback uses parts that are being freed */
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

static bool all_was_seen(void) { return frees_inside > 0 && starts_reset > 0 && ready_inside > 0; }

int main(void)
{
    state = random_seed();
    file = memfd_of(4 * PAGE, 1);
    directory = new_directory();
    run(steps(20000)); /* the first run makes what then stays for good */
    char *fds = fds_now(), *maps = maps_now();
    run(many_steps(100000));
    /* A short run may miss rare events, so it goes on. */
    for (int more = 0; more < 100 && !under_valgrind() && !all_was_seen(); more++) {
        run(steps(20000));
    }
    same(fds, fds_now());
    same(maps, maps_now());
    CHECK(calls_back > 0);
    printf("note: %d starts were reset between their steps, %d back-ends came back inside DISCONNECT\n", (int)starts_reset,
           (int)ready_inside);
    CHECK(under_valgrind() || all_was_seen());
    close(file);
    remove_directory(directory);
    return 0;
}
