/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two front-ends look for their back-ends again, and the back-ends answer wrongly, late or not at all. The test makes every
 * request, with and without waiting, in any state and inside any callback. Each accepted request is answered once, with a
 * sentence if it failed. Each `destroy` runs once. A freed front-end does nothing more, and nothing leaks.
 */
/* tsan: yes (the back-ends are threads) */
#include "device-rig.h"
#include "random.h"

#include <sys/un.h>

#define LIVES 2
#define DEEPEST 4

typedef struct back_end {
    pthread_t thread;
    char path[100];
    int listener;
    bool stop;
    uint64_t state, protocol_features, wrong_one_in;
    pthread_mutex_t lock;
    int channel;
} back_end;

typedef struct life {
    vhushmem_frontend *frontend;
    vhushmem_device *device;
    GSource *source;
    uint64_t number; /* of this life: after a free the next one has another */
    bool in_callback, in_request;
    back_end peer;
} life;

typedef struct token {
    life *of;
    uint64_t number;
    bool was_called;
} token;

static life lives[LIVES];
static uint64_t state;
static int depth, tokens, file, kick_fd;
static uint64_t taken, replies;
static char *directory;

static uint64_t below(uint64_t limit) { return random_below(&state, limit); }

static void act(void);

static void act_inside(void)
{
    if (depth < DEEPEST) {
        depth++;
        for (uint64_t n = below(3); n > 0; n--) {
            act();
        }
        depth--;
    }
}

/* ---- callbacks ---- */

static token *token_for(life *l)
{
    token *t = calloc(1, sizeof(*t));
    CHECK(t != NULL);
    t->of = l;
    t->number = l->number;
    tokens++;
    return t;
}

static void destroyed(void *user_data)
{
    tokens--;
    free(user_data);
    act_inside();
}

/* This callback is not inside another one of the same front-end. */
static void inside_callback(const token *t, const vhushmem_frontend *frontend)
{
    life *l = t->of;
    bool is_alive = l->number == t->number;
    if (is_alive && l->frontend != NULL) {
        CHECK(l->frontend == frontend && !l->in_callback);
        l->in_callback = true;
    }
    uint64_t number = l->number;
    act_inside();
    if (l->number == number) {
        l->in_callback = false;
    }
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    token *t = user_data;
    CHECK(t->number == t->of->number && t->of->frontend == frontend);
    CHECK((event->result == 0) == (event->message == NULL));
    inside_callback(t, frontend);
}

static int on_request(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    token *t = user_data;
    life *l = t->of;
    uint64_t number = l->number;
    bool was_inside = l->in_request;
    CHECK(t->number == number && l->frontend == frontend && !l->in_request);
    CHECK(request->nfds <= 8);
    l->in_request = true;
    if (below(3) == 0) {
        *request->reply_fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
    }
    act_inside();
    if (l->number == number) {
        l->in_request = was_inside;
    }
    return (int)below(3) - 1;
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    token *t = user_data;
    CHECK(!t->was_called);
    CHECK((reply->result == 0) == (reply->message == NULL));
    CHECK(reply->result <= 0);
    t->was_called = true;
    replies++;
    inside_callback(t, frontend);
}

static void count_taken(int result)
{
    CHECK(result <= 0);
    taken += result == 0;
}

/* ---- back-ends ---- */

static void answer_wrongly(back_end *b, int main, const message *m)
{
    uint64_t value = random_next(&b->state);
    switch (random_below(&b->state, 6)) {
    case 0:
        shutdown(main, SHUT_RDWR);
        break;
    case 1:
        usleep(40000);
        break;
    case 2:
        try_send_message(main, m->header.request, 0x5, &value, (uint32_t)random_below(&b->state, 9), NULL, 0);
        break;
    case 3:
        value = 1;
        try_send_message(main, m->header.request, 0x5, &value, sizeof(value), NULL, 0);
        break;
    case 4:
        try_send_message(main, m->header.request + 1, 0x5, &value, sizeof(value), NULL, 0);
        break;
    default:
        try_send_message(main, m->header.request, 0x5, &value, sizeof(value), &file, 1);
    }
}

static void answer(back_end *b, int main, const message *m)
{
    uint8_t bytes[4096] = {0};
    uint64_t value = 0;
    uint32_t size = 8;
    int count = 0;
    bool has_reply = true;
    VhostUserShMemConfig config = {.nregions = 2, .memory_sizes = {16 * PAGE, 16 * PAGE}};
    switch (m->header.request) {
    case GET_FEATURES:
        value = VIRTIO_DEFAULTS | BIT(26);
        break;
    case GET_PROTOCOL_FEATURES:
        value = b->protocol_features;
        break;
    case GET_QUEUE_NUM:
        value = 4;
        break;
    case GET_MAX_MEM_SLOTS:
        value = 5;
        break;
    case GET_STATUS:
        value = 15;
        break;
    case CHECK_DEVICE_STATE:
        value = random_below(&b->state, 2);
        break;
    case 6: /* SET_LOG_BASE */
        break;
    case GET_SHMEM_CONFIG:
        try_send_message(main, m->header.request, 0x5, &config, sizeof(config), NULL, 0);
        return;
    case GET_CONFIG:
    case GET_VRING_BASE:
    case GET_SHARED_OBJECT:
        size = m->header.size;
        memcpy(bytes, m->payload, MIN(size, sizeof(bytes)));
        count = m->header.request == GET_SHARED_OBJECT && random_below(&b->state, 2) != 0;
        break;
    case GET_INFLIGHT_FD:
        size = 24;
        memcpy(bytes, &(uint64_t){4096}, 8);
        memcpy(bytes + 16, m->payload + 16, 8);
        count = 1;
        break;
    case SET_DEVICE_STATE_FD:
        value = random_below(&b->state, 2) ? 256 : 0;
        count = value == 0;
        break;
    default:
        has_reply = false;
    }
    if (value != 0) {
        memcpy(bytes, &value, sizeof(value));
    }
    if (has_reply || (m->header.flags & 0x8) != 0) {
        try_send_message(main, m->header.request, 0x5, bytes, size, &file, count);
    }
}

static void serve(back_end *b, int main)
{
    message m;
    while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
        if (!wait_readable(main, 5)) {
            continue;
        }
        if (receive(main, &m, 1000) != 1) {
            return;
        }
        for (int i = 0; i < m.fd_count; i++) {
            if (m.header.request == SET_BACKEND_REQ_FD && i == 0) {
                pthread_mutex_lock(&b->lock);
                if (b->channel >= 0) {
                    close(b->channel);
                }
                b->channel = m.fds[0];
                pthread_mutex_unlock(&b->lock);
            } else {
                close(m.fds[i]);
            }
        }
        if (b->wrong_one_in != 0 && random_below(&b->state, b->wrong_one_in) == 0) {
            answer_wrongly(b, main, &m);
        } else {
            answer(b, main, &m);
        }
    }
}

static void close_channel(back_end *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->channel >= 0) {
        close(b->channel);
    }
    b->channel = -1;
    pthread_mutex_unlock(&b->lock);
}

static void *run_back_end(void *user_data)
{
    back_end *b = user_data;
    while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
        int main = wait_readable(b->listener, 5) ? accept4(b->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (main >= 0) {
            serve(b, main);
            close_channel(b);
            close(main);
        }
    }
    return NULL;
}

/* The back-end asks for something, and reads the answers. */
static void ask_on_the_channel(life *l)
{
    uint8_t answers[4096];
    pthread_mutex_lock(&l->peer.lock);
    int channel = l->peer.channel;
    while (channel >= 0 && recv(channel, answers, sizeof(answers), MSG_DONTWAIT) > 0) {}
    for (uint64_t n = below(4); channel >= 0 && n > 0; n--) {
        VhostUserMMap m = mmap_of((uint8_t)below(3), below(5) * PAGE, below(17) * PAGE, PAGE * (1 + below(2)), below(2));
        uint32_t flags = 0x1 | (below(2) ? 0x8 : 0);
        uint64_t kind = below(12);
        if (kind < 5) {
            try_send_message(channel, MAP, flags, &m, sizeof(m), &file, 1);
        } else if (kind < 9) {
            try_send_message(channel, UNMAP, flags, &m, sizeof(m), NULL, 0);
        } else {
            try_send_message(channel, (uint32_t)below(14), flags, &m, (uint32_t)below(sizeof(m)), &file, (int)below(2));
        }
    }
    pthread_mutex_unlock(&l->peer.lock);
    if (below(300) == 0) {
        close_channel(&l->peer);
    }
}

/* ---- what a program may call ---- */

#define ANSWERED on_reply, token_for(l), destroyed, NULL

static void ask_later(life *l)
{
    vhushmem_frontend *f = l->frontend;
    uint8_t bytes[300] = {0};
    uint8_t uuid[16] = {1};
    vhushmem_queue queues[3];
    vhushmem_guest_memory ram[6];
    unsigned count = (unsigned)below(6);
    for (unsigned i = 0; i < 3; i++) {
        queues[i] = queue_of(below(4) ? 64 : (uint16_t)below(3), (uint16_t)below(3), 0x10000, below(20) ? kick_fd : -1);
    }
    for (unsigned i = 0; i < count; i++) {
        ram[i] = memory_of((i + below(2)) << 20, PAGE * (1 + below(2)), below(30) ? file : -1, 0);
    }
    vhushmem_region *region = vhushmem_device_find_region(l->device, (uint8_t)below(2));
    vhushmem_mapping *mapping = region != NULL ? vhushmem_region_find_mapping(region, below(16) * PAGE, PAGE) : NULL;
    int result, fd;
    switch (below(18)) {
    case 0:
        count_taken(vhushmem_frontend_get_config_async(f, (uint32_t)below(300), (uint32_t)below(80), ANSWERED));
        break;
    case 1:
        count_taken(vhushmem_frontend_set_config_async(f, (uint32_t)below(300), bytes, (uint32_t)below(80), (unsigned)below(3),
                                                       ANSWERED));
        break;
    case 2:
        count_taken(vhushmem_frontend_get_device_status_async(f, ANSWERED));
        break;
    case 3:
        count_taken(vhushmem_frontend_set_device_status_async(f, (uint8_t)below(3), ANSWERED));
        break;
    case 4:
        count_taken(vhushmem_frontend_get_shared_object_async(f, uuid, ANSWERED));
        break;
    case 5:
        count_taken(vhushmem_frontend_set_log_async(f, below(4) ? file : -1, 0, 4096, ANSWERED));
        break;
    case 6:
        count_taken(vhushmem_frontend_set_log_fd_async(f, below(4) ? kick_fd : -1, ANSWERED));
        break;
    case 7:
        count_taken(vhushmem_frontend_set_queue_endian_async(f, (unsigned)below(5), below(2), ANSWERED));
        break;
    case 8:
        count_taken(vhushmem_frontend_kick_queue_async(f, (unsigned)below(5), ANSWERED));
        break;
    case 9:
        count_taken(vhushmem_frontend_get_inflight_async(f, (uint16_t)below(5), (uint16_t)below(300), ANSWERED));
        break;
    case 10:
        fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
        result = vhushmem_frontend_set_device_state_fd_async(f, (unsigned)below(3), fd, ANSWERED);
        count_taken(result);
        if (result != 0) {
            close(fd);
        }
        break;
    case 11:
        count_taken(vhushmem_frontend_check_device_state_async(f, ANSWERED));
        break;
    case 12:
        count_taken(vhushmem_frontend_request_async(f, (uint32_t)below(50), bytes, below(100), &file, (unsigned)below(2),
                                                    (unsigned)below(4), ANSWERED));
        break;
    case 13:
        count_taken(vhushmem_frontend_set_memory_async(f, ram, count, ANSWERED));
        break;
    case 14:
        count_taken(vhushmem_frontend_start_device_async(f, below(8) ? 0 : BIT(26), queues, (unsigned)below(4), ANSWERED));
        break;
    case 15:
        count_taken(vhushmem_frontend_stop_device_async(f, ANSWERED));
        break;
    case 16:
        count_taken(vhushmem_frontend_enable_queue_async(f, (unsigned)below(4), below(2), ANSWERED));
        break;
    default:
        if (mapping != NULL && below(2) == 0) {
            count_taken(vhushmem_frontend_share_mapping_async(f, mapping, below(8) << 28, ANSWERED));
        } else if (mapping != NULL) {
            count_taken(vhushmem_frontend_unshare_mapping_async(f, mapping, ANSWERED));
        }
    }
    vhushmem_mapping_unref(mapping);
}

static void ask_and_wait(life *l)
{
    vhushmem_frontend *f = l->frontend;
    uint8_t bytes[64] = {0}, uuid[16] = {1};
    size_t size = sizeof(bytes);
    vhushmem_queue queue = queue_of(64, 0, 0x10000, kick_fd);
    vhushmem_guest_memory ram = memory_of(below(3) << 20, PAGE, file, 0);
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    uint16_t bases[4];
    int fd = -1, given;
    switch (below(8)) {
    case 0:
        (void)vhushmem_frontend_start_device(f, 0, &queue, 1, NULL);
        break;
    case 1:
        (void)vhushmem_frontend_stop_device(f, bases, (unsigned)below(5), NULL);
        break;
    case 2:
        (void)vhushmem_frontend_set_memory(f, &ram, 1, NULL);
        break;
    case 3:
        if (vhushmem_frontend_get_inflight(f, 1, 64, &area, NULL) == 0) {
            close(area.fd);
        }
        break;
    case 4:
        given = fcntl(file, F_DUPFD_CLOEXEC, 0);
        if (vhushmem_frontend_set_device_state_fd(f, (unsigned)below(2), given, &fd, NULL) != 0) {
            close(given);
        } else if (fd >= 0) {
            close(fd);
        }
        break;
    case 5:
        if (vhushmem_frontend_request(f, (uint32_t)below(50), bytes, below(64), &file, (unsigned)below(2), (unsigned)below(4),
                                      bytes, &size, &fd, NULL) == 0 &&
            fd >= 0) {
            close(fd);
        }
        break;
    case 6:
        fd = vhushmem_frontend_get_shared_object(f, uuid, NULL);
        if (fd >= 0) {
            close(fd);
        }
        break;
    default:
        (void)vhushmem_frontend_get_config(f, 0, bytes, sizeof(bytes), NULL);
    }
}

static void change(life *l)
{
    vhushmem_frontend *f = l->frontend;
    vhushmem_region *region = vhushmem_device_find_region(l->device, (uint8_t)below(2));
    vhushmem_inflight area = {.struct_size = sizeof(area),
                              .size = 4096 * below(2),
                              .offset = below(3) * 4096,
                              .num_queues = (uint16_t)below(3),
                              .queue_size = 64,
                              .fd = file};
    switch (below(9)) {
    case 0:
        (void)vhushmem_frontend_set_inflight(f, below(4) ? &area : NULL, NULL);
        break;
    case 1:
        (void)vhushmem_frontend_reset(f, NULL);
        break;
    case 2:
        (void)vhushmem_frontend_start(f, NULL);
        break;
    case 3:
        g_free(vhushmem_status_json(f));
        break;
    case 4:
        if (region != NULL) {
            (void)vhushmem_frontend_share_region(f, region, (4 + below(4)) << 28, 0, NULL);
        }
        break;
    case 5:
        if (region != NULL) {
            (void)vhushmem_frontend_unshare_region(f, region, NULL);
        }
        break;
    case 6:
        if (region != NULL) {
            (void)vhushmem_region_map(region, file, 0, below(16) * PAGE, PAGE, below(2), NULL);
        }
        break;
    case 7:
        ok(vhushmem_frontend_set_callback(f, on_event, token_for(l), destroyed));
        break;
    default:
        ok(vhushmem_frontend_set_request_callback(f, below(4) ? on_request : NULL, token_for(l), destroyed));
    }
}

static void use_source(life *l)
{
    GSource *source = l->source;
    if (source == NULL) {
        l->source = some(vhushmem_frontend_source_new(l->frontend));
        g_source_attach(l->source, NULL);
    } else if (below(4) == 0) {
        l->source = NULL;
        g_source_destroy(source);
        g_source_unref(source);
    }
}

static void free_front_end(life *l)
{
    vhushmem_frontend *frontend = l->frontend;
    l->frontend = NULL;
    l->number++;
    l->in_callback = l->in_request = false;
    vhushmem_frontend_free(frontend);
}

static void act(void)
{
    life *l = &lives[below(LIVES)];
    uint64_t what = below(100);
    if (l->frontend == NULL) {
        return;
    }
    if (what < 40) {
        (void)vhushmem_frontend_dispatch(l->frontend);
    } else if (what < 60) {
        ask_on_the_channel(l);
    } else if (what < 76) {
        ask_later(l);
    } else if (what < 80) {
        if (depth == 0 || below(4) == 0) {
            ask_and_wait(l);
        }
    } else if (what < 90) {
        change(l);
    } else if (what < 92) {
        use_source(l);
    } else if (what < 96) {
        while (g_main_context_iteration(NULL, FALSE) && below(3) != 0) {}
    } else if (what < 97) {
        if (below(25) == 0) {
            free_front_end(l);
        }
    } else {
        wait_readable((int)ok(vhushmem_frontend_get_fd(l->frontend)), 1);
        (void)vhushmem_frontend_dispatch(l->frontend);
    }
}

/* ---- lives ---- */

static void begin(life *l)
{
    uint64_t number = l->number + 1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    vhushmem_region_options region = {.struct_size = sizeof(region),
                                      .flags = VHUSHMEM_REGION_KEEP_FDS | VHUSHMEM_REGION_REPLACE};
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .flags = below(4) == 0 ? VHUSHMEM_FRONTEND_KEEP_MAPPINGS : 0,
                                         .num_queues = 3,
                                         .request_timeout_ms = 30,
                                         .message_timeout_ms = 30,
                                         .region = &region,
                                         .reconnect_ms = below(3) ? 1 : 0};
    memset(l, 0, sizeof(*l));
    l->number = number;
    snprintf(l->peer.path, sizeof(l->peer.path), "%s/%" PRIu64, directory, (uint64_t)(l - lives) << 32 | number);
    l->peer.channel = -1;
    l->peer.state = random_next(&state);
    l->peer.wrong_one_in = below(3) ? 100 : 0;
    l->peer.protocol_features = DEVICE_FEATURES | BIT(1) | BIT(18);
    l->peer.protocol_features &= ~(below(3) == 0 ? BIT(3) : 0) & ~(below(4) == 0 ? BIT(15) : 0);
    pthread_mutex_init(&l->peer.lock, NULL);
    l->peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", l->peer.path);
    CHECK(bind(l->peer.listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(l->peer.listener, 4) == 0);
    CHECK(pthread_create(&l->peer.thread, NULL, run_back_end, &l->peer) == 0);
    l->frontend = some(vhushmem_frontend_new(l->peer.path, &options, &error));
    l->device = vhushmem_device_ref(vhushmem_frontend_device(l->frontend));
    ok(vhushmem_frontend_set_callback(l->frontend, on_event, token_for(l), destroyed));
    (void)(below(3) ? vhushmem_frontend_connect(l->frontend, 1000, NULL) : vhushmem_frontend_start(l->frontend, NULL));
}

static void end(life *l)
{
    if (l->frontend != NULL) {
        free_front_end(l);
    }
    if (l->source != NULL) {
        CHECK(g_source_is_destroyed(l->source));
        g_source_unref(l->source);
    }
    __atomic_store_n(&l->peer.stop, true, __ATOMIC_RELEASE);
    pthread_join(l->peer.thread, NULL);
    close(l->peer.listener);
    unlink(l->peer.path);
    pthread_mutex_destroy(&l->peer.lock);
    vhushmem_device_unref(l->device);
}

static void run(int count)
{
    depth = DEEPEST; /* no callback does more */
    for (int i = 0; i < LIVES; i++) {
        begin(&lives[i]);
    }
    for (int i = 0; i < count; i++) {
        life *l = &lives[below(LIVES)];
        if ((l->frontend == NULL && below(10) == 0) || below(5000) == 0) {
            depth = DEEPEST;
            end(l);
            begin(l);
        }
        depth = 0;
        act();
    }
    depth = DEEPEST;
    for (int i = 0; i < LIVES; i++) {
        end(&lives[i]);
    }
    while (g_main_context_iteration(NULL, FALSE)) {}
    EQ(tokens, 0);
    EQ(replies, taken);
}

static void no_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer user_data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)user_data;
}

int main(void)
{
    g_log_set_handler("vhushmem", G_LOG_LEVEL_MASK, no_log, NULL);
    state = random_seed();
    file = memfd_of(8 * PAGE, 1);
    kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    directory = new_directory();
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    some(vhushmem_region_new(device, 0, PAGE, NULL, &error));
    vhushmem_device_unref(device);
    run(500); /* things that are made once exist before the test counts */
    char *fds = fds_now(), *maps = maps_now();
    run(many_steps(5000));
    same(fds, fds_now());
    same(maps, maps_now());
    remove_directory(directory);
    return 0;
}
