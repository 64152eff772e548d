/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile back-ends against the actions of the victim's program itself: callbacks that call back, calls that wait,
 * reconnection, guests.
 */
#include "hostile.h"
#include "linger.h"

#include <sys/un.h>
#include <vhushmem/guard.h>

static bool is_over(arena *a)
{
    look l = look_at(a, 'S');
    g_free(l.text);
    return l.over;
}

static int tally_of(arena *a, char how)
{
    g_free(look_at(a, how).text);
    return a->tally;
}

static void not_grown(arena *a, long before)
{
    long grown = victim_kib(a) - before;
    if (grown > 8192 && !under_sanitizer()) {
        FAIL("the victim has grown by %ld KiB", grown);
    }
}

/* ---- callbacks that call back ---- */

static bool answers_status(peer *p, const message *m)
{
    uint64_t status = 15;
    if (m->header.request != GET_STATUS) {
        return false;
    }
    try_send_message(p->main, GET_STATUS, 0x5, &status, sizeof(status), NULL, 0);
    return true;
}

static void has_status(arena *a, const void *with)
{
    (void)with;
    a->hostile.protocol_features |= BIT(16);
    a->hostile.answer = answers_status;
}

/* Undoes each mapping, asks the back-end and turns the loop, all inside the event. The tally is how deep callbacks got. */
static void calls_back(vhushmem_frontend *f, const vhushmem_event *event)
{
    static int depth;
    if (event->type != VHUSHMEM_EVENT_MAP) {
        return;
    }
    depth++;
    victim_tally = MAX(victim_tally, depth);
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(f), 0));
    int rc = vhushmem_region_unmap(region, usual_map().shm_offset, usual_map().len, NULL);
    CHECK(rc == 0 || rc == -ENOENT);
    if (vhushmem_frontend_is_ready(f)) {
        int status = vhushmem_frontend_get_device_status(f, NULL);
        CHECK(status == 15 || status < 0);
        g_main_context_iteration(NULL, FALSE);
    }
    depth--;
}

static const victim_habits calling_back = {.event = calls_back};

/* Events that waited no longer take memory. */
static bool has_told_all(arena *a)
{
    look now = look_at(a, 'S');
    bool is_so = strcmp(now.maps, a->before.maps) == 0;
    g_free(now.text);
    return is_so;
}

static int flooded_while_it_calls(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    int count = steps(20000);
    long before = victim_kib(a);
    for (int i = 0; i < count; i++) {
        if (try_send_message(a->channel, MAP, 0x1, &map, sizeof(map), &a->file, 1) < 0) {
            CHECK(errno == ETOOMANYREFS || errno == EINTR);
            usleep(200);
        }
    }
    if (with != NULL) { /* it leaves in the middle of the flood */
        peer_hang_up(&a->hostile);
        STEP_UNTIL(is_over(a), usleep(200)); /* its earlier events come first */
    } else {
        int result = ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
        CHECK(result == 0 || result == -ENOENT);
        STEP_UNTIL(has_told_all(a), usleep(200));
    }
    EQ(tally_of(a, 'S'), 1);
    not_grown(a, before);
    return with != NULL ? ENDED : 0;
}

/* ---- calls that wait ---- */

static int under_way;

static void replied(vhushmem_frontend *f, const vhushmem_reply *reply, void *user_data)
{
    bool *was_called = user_data;
    (void)f;
    CHECK(!*was_called && (reply->result == 0 || reply->message != NULL));
    *was_called = true;
    under_way--;
    victim_tally = under_way;
}

/* Makes so many calls without waiting. The tally is how many have not ended. */
static void asks(vhushmem_frontend *f, char what)
{
    int count = what == 'A' ? 10 : 20000;
    uint8_t bytes[256] = {0};
    for (int i = 0; i < count; i++) {
        bool *was_called = g_new0(bool, 1);
        under_way++;
        int rc = i % 2 == 0
                     ? vhushmem_frontend_get_device_status_async(f, replied, was_called, g_free, NULL)
                     : vhushmem_frontend_set_config_async(f, 0, bytes, sizeof(bytes), 0, replied, was_called, g_free, NULL);
        if (rc < 0) {
            CHECK(what != 'A' || rc == -ENOTCONN);
            under_way--;
        }
    }
    victim_tally = under_way;
}

static const victim_habits asking = {.command = asks};

static int answer_with(peer *p, const message *m, uint32_t id, uint32_t flags, uint32_t size, int fds)
{
    uint8_t bytes[4096] = {0};
    int file[8];
    for (int i = 0; i < fds; i++) {
        file[i] = p->channel;
    }
    try_send_message(p->main, id == 0 ? m->header.request : id, flags, bytes, size, file, fds);
    return 0;
}

static int wrong_answer;

static bool answers_wrongly(peer *p, const message *m)
{
    if (m->header.request != GET_STATUS) {
        return false;
    }
    switch (wrong_answer) {
    case 0:
        answer_with(p, m, GET_CONFIG, 0x5, 8, 0);
        break;
    case 1:
        answer_with(p, m, 0, 0x1, 8, 0);
        break;
    case 2:
        answer_with(p, m, 0, 0x5, 0, 0);
        break;
    case 3:
        answer_with(p, m, 0, 0x5, 4096, 0);
        break;
    case 4:
        answer_with(p, m, 0, 0x5, 8, 8);
        break;
    case 5:
        answer_with(p, m, 0, 0x5, 8, 0);
        answer_with(p, m, 0, 0x5, 8, 0);
        answer_with(p, m, 0, 0x5, 8, 0);
        break;
    case 6:
        try_send_bytes(p->main, m, 7, NULL, 0);
        shutdown(p->main, SHUT_WR);
        break;
    case 7:
        break; /* this call is never answered */
    default:
        peer_hang_up(p);
    }
    return true;
}

static void answers_so(arena *a, const void *with)
{
    wrong_answer = (int)(intptr_t)with;
    a->hostile.protocol_features |= BIT(16) | BIT(9);
    a->hostile.answer = answers_wrongly;
}

/* Ten calls wait. Each is told exactly once. */
static int while_calls_wait(arena *a, const void *with)
{
    CHECK(tally_of(a, 'A') <= 10);
    if ((int)(intptr_t)with == 7) {
        EQ(tally_of(a, 'S'), 10);
        peer_hang_up(&a->hostile);
    }
    CHECK(hung_up(a->channel, PATIENCE_MS));
    STEP_UNTIL(tally_of(a, 'S') == 0, usleep(200));
    return ENDED;
}

static bool reads_no_more(peer *p, const message *m)
{
    (void)p;
    if (m->header.request != GET_STATUS && m->header.request != SET_CONFIG) {
        return false;
    }
    while (!hung_up(p->main, 0) && __atomic_load_n(&p->heard_count, __ATOMIC_RELAXED) >= 0) {
        usleep(1000);
    }
    return true;
}

static void no_acknowledgements(arena *a, const void *with)
{
    a->hostile.protocol_features |= BIT(9) | (with != NULL ? BIT(16) : 0);
    a->hostile.protocol_features &= ~BIT(3);
    a->hostile.answer = reads_no_more;
}

/* Calls that cannot be sent wait, up to a bound. Beyond it the program gets an error. */
static int calls_without_end(arena *a, const void *with)
{
    (void)with;
    long before = victim_kib(a);
    for (int i = 0; i < 5; i++) {
        int waiting = tally_of(a, 'B');
        CHECK(waiting > 0 && waiting <= 1024);
    }
    not_grown(a, before);
    peer_hang_up(&a->hostile);
    CHECK(hung_up(a->channel, PATIENCE_MS));
    STEP_UNTIL(tally_of(a, 'S') == 0, usleep(200));
    return ENDED;
}

/* ---- a way back ---- */

static char way_back[80];
static vhushmem_frontend *returning;

/* P: one more front-end, which looks for its back-end again; p: it goes. The tally is how often it was lost. */
static void lost_again(vhushmem_frontend *f, const vhushmem_event *event, void *user_data)
{
    (void)f;
    (void)user_data;
    victim_tally += event->type == VHUSHMEM_EVENT_DISCONNECT;
}

static void comes_and_goes(vhushmem_frontend *f, char what)
{
    (void)f;
    if (what == 'P') {
        vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                             .flags = VHUSHMEM_FRONTEND_SERVER,
                                             .reconnect_ms = 1,
                                             .request_timeout_ms = PATIENCE_MS};
        returning = some(vhushmem_frontend_new(way_back, &options, &error));
        ok(vhushmem_frontend_set_callback(returning, lost_again, NULL, NULL));
        GSource *source = vhushmem_frontend_source_new(returning);
        g_source_attach(source, NULL);
        g_source_unref(source);
        ok(vhushmem_frontend_start(returning, &error));
    } else if (what == 'p') {
        vhushmem_frontend_free(returning);
    }
}

static const victim_habits returns = {.command = comes_and_goes};

static int comes(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", way_back);
    int fd = -1;
    STEP_UNTIL((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 &&
                   connect(fd, (void *)&address, sizeof(address)) == 0,
               (close(fd), usleep(500)));
    return fd;
}

/* The first handshake succeeds, so that the front-end looks for the back-end again. Then the back-end comes and leaves at
   each request of the handshake, with and without an answer. */
static int leaves_everywhere(arena *a, const void *with)
{
    static const uint32_t moments[] = {GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM,
                                       SET_OWNER,    SET_BACKEND_REQ_FD,    GET_SHMEM_CONFIG};
    peer p;
    (void)with;
    g_free(look_at(a, 'P').text);
    long before = 0;
    for (int round = 0; round < (int)(20 * G_N_ELEMENTS(moments)); round++) {
        peer_init(&p);
        peer_add_region(&p, 0, round % 3 == 2 ? 2 * REGION : REGION); /* a different device than the last one */
        int fd = comes();
        if (round > 0) {
            p.mute = moments[(unsigned)round % G_N_ELEMENTS(moments)];
        }
        peer_start(&p, fd);
        uint32_t last = round > 0 ? p.mute : GET_SHMEM_CONFIG;
        STEP_UNTIL(peer_heard(&p, last, 0) != NULL, usleep(100));
        if (round == 0) {
            STEP_UNTIL(p.channel >= 0, usleep(100));
            VhostUserMMap map = {.len = PAGE};
            send_message(p.channel, MAP, NEED_REPLY, &map, sizeof(map), &a->file, 1);
            EQ(answer_on(p.channel, MAP, PATIENCE_MS), 0);
        }
        peer_hang_up(&p);
        peer_end(&p);
        before = before == 0 && round > 10 ? victim_kib(a) : before;
    }
    not_grown(a, before);
    CHECK(tally_of(a, 'p') > 0);
    return 0;
}

/* ---- more than one descriptor ---- */

/* Sockets whose close may take long. If the victim is quick, this process closes some of them last. */
static int sockets_behind(arena *a, const void *with)
{
    int fds[16] = {a->file}, count = (int)(intptr_t)with;
    VhostUserMMap map = usual_map();
    pthread_t closers[16];
    for (int i = 1; i < count; i++) {
        fds[i] = lingering_socket();
    }
    send_message(a->channel, MAP, NEED_REPLY, &map, sizeof(map), fds, count);
    for (int i = 1; i < count; i++) {
        closers[i] = linger_close_in_a_thread(fds[i]);
    }
    int result = answer_on(a->channel, MAP, PATIENCE_MS);
    linger_end(); /* the victim's closes end */
    for (int i = 1; i < count; i++) {
        CHECK(pthread_join(closers[i], NULL) == 0);
    }
    return result;
}

/* ---- a guest that runs meanwhile ---- */

static pthread_t guest;
static int guest_stops;
static vhushmem_region *guest_region;

/* Copies all of the region in and out, and touches the page that stays mapped. The pages of its file come and go. */
static void *guest_runs(void *user_data)
{
    uint8_t bytes[65536];
    (void)user_data;
    while (!__atomic_load_n(&guest_stops, __ATOMIC_ACQUIRE)) {
        for (uint64_t at = 0; at < 8 * PAGE; at += 2 * PAGE) {
            int rc = vhushmem_region_read(guest_region, at, bytes, 2 * PAGE, NULL);
            CHECK(rc == 0 || rc == -ENOENT || rc == -EIO || rc == -EAGAIN);
            rc = vhushmem_region_write(guest_region, at, bytes, 2 * PAGE, NULL);
            CHECK(rc == 0 || rc == -ENOENT || rc == -EIO || rc == -EAGAIN || rc == -EACCES);
        }
        volatile uint8_t *page = vhushmem_region_translate(guest_region, 16 * PAGE, PAGE, true);
        if (page != NULL) {
            page[100]++;
            victim_tally++;
        }
    }
    return NULL;
}

static void *allocates(void *user_data)
{
    (void)user_data;
    g_free(g_malloc0(8));
    return NULL;
}

/* Things that a first thread makes for good (a stack, an arena) exist before the first look. */
static void guest_warms_up(vhushmem_frontend *f)
{
    (void)f;
    CHECK(pthread_create(&guest, NULL, allocates, NULL) == 0 && pthread_join(guest, NULL) == 0);
    ok(vhushmem_guard_install(&error));
}

static void guest_begins(vhushmem_frontend *f, char what)
{
    if (what == 'G') {
        guest_region = some(vhushmem_device_find_region(vhushmem_frontend_device(f), 0));
        CHECK(pthread_create(&guest, NULL, guest_runs, NULL) == 0);
    } else if (what == 'g') {
        __atomic_store_n(&guest_stops, 1, __ATOMIC_RELEASE);
        CHECK(pthread_join(guest, NULL) == 0);
    }
}

static const victim_habits with_a_guest = {.begin = guest_warms_up, .command = guest_begins};

static int truncates_beneath(arena *a, const void *with)
{
    int file = memfd_of(8 * PAGE, 3), rounds = steps(3000);
    VhostUserMMap stays = {.shm_offset = 16 * PAGE, .len = PAGE, .fd_offset = 7 * PAGE, .flags = 1};
    VhostUserMMap moves = {.len = 4 * PAGE, .flags = 1};
    (void)with;
    EQ(ask_map(a, &stays, file), 0);
    a->mapped.len = 0;
    g_free(look_at(a, 'G').text);
    for (int i = 0; i < rounds; i++) {
        moves.shm_offset = (uint64_t)(i % 5) * PAGE;
        CHECK(ftruncate(file, (off_t)((i % 2 == 0 ? 8 : 4) * PAGE)) == 0);
        int result = ask_map(a, &moves, file);
        CHECK(result == 0);
        CHECK(ftruncate(file, (off_t)((uint64_t)(i % 9) * PAGE)) == 0);
        EQ(ask(a, UNMAP, NEED_REPLY, &moves, sizeof(moves), NULL, 0), 0);
    }
    a->mapped.len = 0;
    CHECK(tally_of(a, 'g') > 0);
    EQ(ask(a, UNMAP, NEED_REPLY, &stays, sizeof(stays), NULL, 0), 0);
    close(file);
    return 0;
}

static const hostile_case while_calling_back[] = {
    {"maps while callbacks call back", 0, flooded_while_it_calls, NULL, has_status},
    {"it leaves while callbacks call back", ENDED, flooded_while_it_calls, (void *)1, has_status},
};

static const hostile_case while_asking[] = {
    {"calls wait, and the reply is another's", ENDED, while_calls_wait, (void *)0, answers_so},
    {"calls wait, and the reply is none", ENDED, while_calls_wait, (void *)1, answers_so},
    {"calls wait, and the reply is empty", ENDED, while_calls_wait, (void *)2, answers_so},
    {"calls wait, and the reply is long", ENDED, while_calls_wait, (void *)3, answers_so},
    {"calls wait, and the reply has descriptors", ENDED, while_calls_wait, (void *)4, answers_so},
    {"calls wait, and there are three replies", ENDED, while_calls_wait, (void *)5, answers_so},
    {"calls wait, and half a reply comes", ENDED, while_calls_wait, (void *)6, answers_so},
    {"calls wait, and nothing comes", ENDED, while_calls_wait, (void *)7, answers_so},
    {"calls wait, and it leaves", ENDED, while_calls_wait, (void *)8, answers_so},
    {"calls without end that nobody acknowledges", ENDED, calls_without_end, NULL, no_acknowledgements},
    {"calls without end that nobody reads", ENDED, calls_without_end, (void *)1, no_acknowledgements},
};

static const hostile_case on_the_way_back[] = {
    {"it comes back and leaves at each request", 0, leaves_everywhere, NULL, NULL},
};

static const hostile_case without_habits[] = {
    {"a socket that lingers behind the file", -EINVAL, sockets_behind, (void *)2, NULL},
    {"seven sockets that linger behind the file", -EINVAL, sockets_behind, (void *)8, NULL},
    {"eight sockets that linger behind the file", -EINVAL, sockets_behind, (void *)9, NULL},
    {"fifteen sockets that linger behind the file", -EINVAL, sockets_behind, (void *)16, NULL},
};

static const hostile_case beside_a_guest[] = {
    {"files that change beneath a guest", 0, truncates_beneath, NULL, NULL},
};

int main(void)
{
    becomes_ready = true;
    snprintf(way_back, sizeof(way_back), "/tmp/vhushmem-hostile-%d", (int)getpid());
    CASES_BEGIN(G_N_ELEMENTS(while_calling_back) + G_N_ELEMENTS(while_asking) + G_N_ELEMENTS(on_the_way_back) +
                G_N_ELEMENTS(without_habits) + G_N_ELEMENTS(beside_a_guest));
    habits = calling_back;
    run_cases(while_calling_back, G_N_ELEMENTS(while_calling_back));
    habits = asking;
    run_cases(while_asking, G_N_ELEMENTS(while_asking));
    habits = returns;
    run_cases(on_the_way_back, G_N_ELEMENTS(on_the_way_back));
    habits = (victim_habits){0};
    run_cases(without_habits, G_N_ELEMENTS(without_habits));
    habits = with_a_guest;
    run_cases(beside_a_guest, G_N_ELEMENTS(beside_a_guest));
    unlink(way_back);
    return failures != 0;
}
