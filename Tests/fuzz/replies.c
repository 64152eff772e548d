/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Target `replies`: the input is a back-end that answers a front-end's requests, in the handshake and after it: rightly,
 * nearly so, with anything, or not at all. The target serves the front-end as a loop would. The front-end waits no longer
 * than its limits, each begun request ends exactly once, and the connection's end is told exactly once.
 */
#include "right-answers.h"

#define CALLS 24

typedef struct session {
    input *in;
    vhushmem_frontend *frontend;
    int peer, channel;
    uint64_t regions;
    bool has_hung_up, is_impatient;
    int begun, accepted, ended, destroyed; /* calls with a callback */
    int events[VHUSHMEM_EVENT_CONFIG_CHANGE + 1];
} session;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    session *s = user_data;
    CHECK(frontend == s->frontend);
    CHECK(event->type >= 1 && event->type <= VHUSHMEM_EVENT_CONFIG_CHANGE);
    CHECK(s->events[VHUSHMEM_EVENT_DISCONNECT] == 0); /* DISCONNECT is the last event */
    s->events[event->type]++;
    if (event->type == VHUSHMEM_EVENT_DISCONNECT) {
        CHECK(event->result < 0 && event->message != NULL);
    }
}

static void on_reply(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    session *s = user_data;
    CHECK(frontend == s->frontend);
    CHECK(reply->result <= 0 && (reply->message != NULL) == (reply->result != 0));
    if (reply->result == 0) {
        CHECK(reply->fd == -1 || fcntl(reply->fd, F_GETFD) == FD_CLOEXEC);
        uint64_t sum = 0;
        for (size_t i = 0; i < reply->payload_size; i++) {
            sum += ((const uint8_t *)reply->payload)[i]; /* all of it can be read */
        }
        CHECK(sum <= 255 * reply->payload_size);
    }
    s->ended++;
}

static void on_destroy(void *user_data) { ((session *)user_data)->destroyed++; }

/* ---- the back-end's answers ---- */

static void say(session *s, const void *bytes, size_t size, const int *fds, int fd_count)
{
    ssize_t sent = try_send_bytes(s->peer, bytes, size, fds, fd_count);
    if (sent < 0 && errno != EAGAIN) {
        s->has_hung_up = true;
    }
}

static int take_descriptors(session *s, int fds[16])
{
    int count = (int)below(s->in, 17);
    for (int i = 0; i < count; i++) {
        fds[i] = files[below(s->in, KINDS)].fd;
    }
    return count > 16 ? 16 : count;
}

static void answer(session *s, const message *m)
{
    struct {
        VhostUserHeader header;
        uint8_t payload[4096];
    } reply = {.header = {m->header.request, 0x5, 0}};
    int fds[16], fd_count = 0;
    bool right = has_answer(m);
    reply.header.size = right_answer(m, s->regions, reply.payload);
    if (m->header.request == GET_INFLIGHT_FD || m->header.request == 41) {
        fds[fd_count++] = files[below(s->in, KINDS)].fd;
    }
    uint8_t how = is_over(s->in) ? 0 : take(s->in);
    uint32_t length = reply.header.size;
    uint16_t at = (uint16_t)(how >= 160 ? take_word(s->in, 2) : 0);
    switch (how) {
    default: /* a right answer */
        if (!right) {
            return;
        }
        break;
    case 160 ... 189: { /* a byte or a word is changed */
        uint64_t word = take_size(s->in, PAGE);
        memcpy(reply.payload + at % (sizeof(reply.payload) - 8), &word, 8);
        break;
    }
    case 190 ... 199: { /* the first word is changed */
        uint64_t word = take_word(s->in, 8);
        memcpy(reply.payload, &word, 8);
        break;
    }
    case 200 ... 204:
        reply.header.flags = (uint32_t)take_word(s->in, 4);
        break;
    case 205 ... 214: /* shorter or longer, and the header says so */
        length = reply.header.size = at % (sizeof(reply.payload) + 1);
        break;
    case 215 ... 219: /* and the header does not say so */
        length = at % (sizeof(reply.payload) + 1);
        break;
    case 220 ... 224:
        reply.header.size = (uint32_t)take_word(s->in, 4);
        break;
    case 225 ... 229:
        reply.header.request = at;
        break;
    case 230 ... 244:
        fd_count = take_descriptors(s, fds);
        break;
    case 245:
        return;       /* no answer */
    case 246 ... 249: /* in two pieces */
        say(s, &reply, at % (12 + length) + 1, fds, fd_count);
        pump(s->frontend);
        at = at % (12 + length) + 1;
        say(s, (uint8_t *)&reply + at, 12 + length - at, NULL, 0);
        return;
    case 250 ... 252: /* twice */
        say(s, &reply, 12 + length, fds, fd_count);
        break;
    case 253:
        shutdown(s->peer, SHUT_RDWR);
        s->has_hung_up = true;
        return;
    case 254: /* arbitrary bytes in front */
        for (uint32_t i = 0; i < below(s->in, 64); i++) {
            reply.payload[i] = take(s->in);
        }
        say(s, reply.payload, 1 + at % 64, fds, fd_count);
        break;
    }
    say(s, &reply, 12 + length, fds, fd_count);
}

/* The back-end's own requests. Their answers are discarded. */
static void ask_on_the_channel(session *s)
{
    uint8_t bytes[256];
    int fds[16];
    VhostUserHeader header = {below(s->in, 12), below(s->in, 8) == 7 ? take(s->in) : 0x9, 40};
    VhostUserMMap map = mmap_of(below(s->in, 2) ? 200 : 0, 0, take_size(s->in, PAGE), take_size(s->in, PAGE), 1);
    if (header.request >= 2 && header.request <= 8) {
        header.size = (uint32_t)below(s->in, 41);
    }
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &map, sizeof(map));
    try_send_bytes(s->channel, bytes, 12 + header.size, fds, take_descriptors(s, fds));
    pump(s->frontend);
    for (message m; wait_readable(s->channel, 0) && receive(s->channel, &m, 0) > 0;) {
        for (int i = 0; i < m.fd_count; i++) {
            close(m.fds[i]);
        }
    }
}

/* Reads what the front-end says, and answers it, until neither has more to say. */
static void converse(session *s)
{
    message m;
    for (int i = 0; i < 200; i++) {
        pump(s->frontend);
        if (s->has_hung_up || !wait_readable(s->peer, 0) || receive(s->peer, &m, 0) <= 0) {
            return;
        }
        if (m.header.request == SET_BACKEND_REQ_FD && m.fd_count == 1 && s->channel < 0) {
            s->channel = m.fds[0];
            m.fd_count = 0;
        }
        for (int n = 0; n < m.fd_count; n++) {
            close(m.fds[n]);
        }
        answer(s, &m);
    }
}

/*
 * A missing answer is not awaited for ever. An end is told after it was read: earlier messages may have descriptors that are
 * being closed, and while there are many, nothing is read.
 */
static void let_time_pass(session *s)
{
    if (s->has_hung_up) {
        PUMP_UNTIL(s->frontend, s->events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    }
    if (s->is_impatient) {
        PUMP_UNTIL(s->frontend, s->events[VHUSHMEM_EVENT_DISCONNECT] == 1 ||
                                    (vhushmem_frontend_is_ready(s->frontend) && s->ended == s->accepted));
    }
}

/* ---- the VMM ---- */

/* A call with a callback was made. */
static void began(session *s, int result)
{
    CHECK(result <= 0 && (error != NULL) == (result != 0));
    s->begun++;
    s->accepted += result == 0;
    g_clear_error(&error);
}

#define BACK on_reply, s, on_destroy, &error

static void start_device(session *s)
{
    static uint8_t ram[3 * 4096]; /* the back-end is told of it; nobody touches it */
    vhushmem_guest_memory memory = {.struct_size = sizeof(memory),
                                    .guest_addr = 0,
                                    .size = FILE_PAGES * PAGE,
                                    .host = ram,
                                    .fd_offset = 0,
                                    .fd = files[PLAIN].fd};
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = 16,
                            .desc = ram,
                            .avail = ram + 4096,
                            .used = ram + 8192,
                            .kick_fd = files[EVENTFD].fd,
                            .call_fd = -1};
    began(s, vhushmem_frontend_set_memory_async(s->frontend, &memory, 1, BACK));
    began(s, vhushmem_frontend_start_device_async(s->frontend, BIT(32), &queue, 1, BACK));
}

static void transfer_state(session *s, unsigned direction)
{
    int fd = dup(files[PIPE].fd);
    int result = vhushmem_frontend_set_device_state_fd_async(s->frontend, direction, fd, BACK);
    if (result != 0) {
        close(fd); /* otherwise the library owns it */
    }
    began(s, result);
}

static void call(session *s)
{
    vhushmem_frontend *f = s->frontend;
    uint8_t bytes[64] = {0}, what = take(s->in), a = take(s->in), b = take(s->in);
    switch (what % 16) {
    case 0:
        began(s, vhushmem_frontend_get_config_async(f, a, b, BACK));
        break;
    case 1:
        began(s, vhushmem_frontend_set_config_async(f, a, bytes, b & 63, b >> 7, BACK));
        break;
    case 2:
        began(s, vhushmem_frontend_get_device_status_async(f, BACK));
        break;
    case 3:
        began(s, vhushmem_frontend_set_device_status_async(f, a, BACK));
        break;
    case 4:
        began(s, vhushmem_frontend_get_shared_object_async(f, bytes, BACK));
        break;
    case 5:
        began(s, vhushmem_frontend_set_log_async(f, files[PLAIN].fd, 0, PAGE, BACK));
        break;
    case 6:
        began(s, vhushmem_frontend_get_inflight_async(f, 1, 16, BACK));
        break;
    case 7:
        transfer_state(s, a & 1);
        break;
    case 8:
        began(s, vhushmem_frontend_check_device_state_async(f, BACK));
        break;
    case 9:
        start_device(s);
        break;
    case 10:
        began(s, vhushmem_frontend_stop_device_async(f, BACK));
        break;
    case 11:
        began(s, vhushmem_frontend_request_async(f, a, bytes, b & 63, NULL, 0, b >> 6, BACK));
        break;
    case 12:
        vhushmem_frontend_reset(f, &error);
        g_clear_error(&error);
        break;
    default:
        if (s->channel >= 0) {
            ask_on_the_channel(s);
        }
    }
}

static void session_open(session *s)
{
    int pair[2];
    uint8_t setup = take(s->in);
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .flags = setup & 1 ? VHUSHMEM_FRONTEND_KEEP_MAPPINGS : 0,
                                         .shmem_bit = setup & 2 ? 20 : 22,
                                         .num_queues = 1 + (setup >> 2 & 1),
                                         .request_timeout_ms = setup & 32 ? 1 : 0,
                                         .message_timeout_ms = setup & 32 ? 1 : 0};
    s->is_impatient = setup & 32;
    s->regions = setup & 8 ? 1 + below(s->in, 64) : 16;
    two_sockets(pair);
    s->peer = pair[1];
    s->channel = -1;
    s->frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    ok(vhushmem_frontend_set_callback(s->frontend, on_event, s, NULL));
    if (setup & 16) {
        ok(vhushmem_frontend_add_region(s->frontend, 0, 16 * PAGE, &error));
    }
    ok(vhushmem_frontend_start(s->frontend, &error));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    input in = {data, data + size};
    session s = {.in = &in};
    if (!is_ready) {
        files_open();
        is_ready = true;
    }
    held before = held_now();
    session_open(&s);
    converse(&s);
    for (int calls = 0; calls < CALLS && !is_over(&in); calls++) {
        call(&s);
        converse(&s);
    }
    let_time_pass(&s);
    pump(s.frontend);
    CHECK(s.events[VHUSHMEM_EVENT_READY] <= 1 && s.events[VHUSHMEM_EVENT_CHANNEL_LOST] <= 1);
    bool is_over_now = s.events[VHUSHMEM_EVENT_DISCONNECT] == 1;
    CHECK(vhushmem_frontend_is_ready(s.frontend) == (s.events[VHUSHMEM_EVENT_READY] == 1 && !is_over_now));
    CHECK(!s.has_hung_up || is_over_now);
    CHECK(s.ended <= s.accepted && (!is_over_now || s.ended == s.accepted));
    vhushmem_frontend_free(s.frontend);
    close(s.peer);
    if (s.channel >= 0) {
        close(s.channel);
    }
    nothing_is_left(before);
    EQ(s.destroyed, s.begun);
    return 0;
}
