/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end asks for maps and unmaps without waiting. Each outcome is told once, in order and never inside another's
 * callback, whatever ends the request: an answer, a wrong answer, a time-out, the connection's end, the back-end's end.
 */
/* tsan: yes (another thread answers the back-end) */
#include "backend-rig.h"

#define MOST 1024
#define IN_FLIGHT 32

typedef struct asked {
    int told, destroyed, result, turn;
} asked;

static backend_rig r;
static asked all[MOST + 8];
static int turns, file, disconnected_at;
static bool inside;
static void (*then)(asked *a);

static void on_result(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    asked *a = user_data;
    CHECK(backend == r.backend);
    CHECK(!inside);
    CHECK((message != NULL) == (result != 0));
    inside = true;
    EQ(a->destroyed, 0);
    a->told++;
    a->result = result;
    a->turn = ++turns;
    if (then != NULL) {
        then(a);
    }
    inside = false;
}

static void on_destroy(void *user_data) { ((asked *)user_data)->destroyed++; }

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        disconnected_at = ++turns;
    }
}

static void begin(uint64_t protocol_features, const vhushmem_backend_options *options)
{
    memset(all, 0, sizeof(all));
    turns = disconnected_at = 0;
    then = NULL;
    backend_rig_new(&r, 4096 * PAGE, options);
    backend_rig_shake_hands(&r, protocol_features);
    ok(vhushmem_backend_set_callback(r.backend, on_event, NULL, NULL));
}

static int ask(unsigned i)
{
    return vhushmem_backend_map_async(r.backend, 0, file, 0, i * PAGE, PAGE, 0, on_result, &all[i], on_destroy, &error);
}

static void ask_for(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ok(ask(i));
    }
}

static void each_was_told(unsigned from, unsigned to, int result)
{
    for (unsigned i = from; i < to; i++) {
        EQ(all[i].told, 1);
        EQ(all[i].destroyed, 1);
        EQ(all[i].result, result);
    }
}

/* The front-end's side: takes one request, and its offset. */
static bool hear(uint32_t request, uint64_t *offset)
{
    message m;
    if (!wait_readable(r.channel, 0)) {
        return false;
    }
    EQ(receive(r.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.fd_count, request == MAP ? 1 : 0);
    if (m.fd_count == 1) {
        close(m.fds[0]);
    }
    memcpy(offset, m.payload + 16, 8);
    return true;
}

static void answer(uint32_t request, int64_t value) { send_message(r.channel, request, 0x5, &value, 8, NULL, 0); }

static void each_has_its_outcome(void)
{
    const unsigned count = 100;
    uint64_t offset, heard = 0;
    begin(BACKEND_RIG_FEATURES, NULL);
    ask_for(count);
    pump_backend(r.backend);
    EQ(turns, 0);
    while (hear(MAP, &offset)) {
        EQ(offset, heard++ * PAGE);
    }
    EQ(heard, IN_FLIGHT);
    for (unsigned i = 0; i < count; i++) {
        answer(MAP, i % 3 == 1 ? -EEXIST : i % 3 == 2 ? 77 : 0);
        pump_backend(r.backend);
        EQ(turns, i + 1);
        EQ(all[i].turn, i + 1);
        EQ(all[i].result, i % 3 == 1 ? -EEXIST : i % 3 == 2 ? -EIO : 0);
        EQ(all[i].destroyed, 1);
        if (heard < count) {
            CHECK(hear(MAP, &offset));
            EQ(offset, heard++ * PAGE);
        }
        CHECK(!hear(MAP, &offset));
    }
    backend_rig_close(&r);
    EQ(turns, count);
}

/* Begun inside a callback, which dispatches as well: told later, not inside the callback. */
static void ask_again(asked *a)
{
    unsigned i = (unsigned)(a - all);
    if (i < 300) {
        ok(ask(i + 1));
        vhushmem_backend_dispatch(r.backend);
    }
}

static void outcomes_do_not_nest(void)
{
    uint64_t offset;
    begin(BACKEND_RIG_FEATURES, NULL);
    then = ask_again;
    ok(ask(0));
    for (unsigned i = 0; i <= 300; i++) {
        pump_backend(r.backend);
        CHECK(hear(MAP, &offset));
        EQ(offset, i * PAGE);
        answer(MAP, 0);
    }
    pump_backend(r.backend);
    each_was_told(0, 301, 0);
    backend_rig_close(&r);
}

static void *answer_all(void *user_data)
{
    for (unsigned i = 0; i < *(unsigned *)user_data; i++) {
        message m;
        uint64_t offset;
        EQ(receive(r.channel, &m, PATIENCE_MS), 1);
        EQ(m.header.request, i == 50 || i == 52 ? UNMAP : MAP);
        if (m.fd_count == 1) {
            close(m.fds[0]);
        }
        memcpy(&offset, m.payload + 16, 8);
        EQ(offset, i * PAGE);
        answer(m.header.request, i == 7 ? -ENOSPC : i == 52 ? -ENOENT : 0);
    }
    return NULL;
}

/* A call that waits comes after those begun before it, and gets its own answer. */
static void order_is_kept(void)
{
    unsigned count = 53;
    pthread_t thread;
    begin(BACKEND_RIG_FEATURES, NULL);
    CHECK(pthread_create(&thread, NULL, answer_all, &count) == 0);
    ask_for(50);
    ok(vhushmem_backend_unmap_async(r.backend, 0, 50 * PAGE, PAGE, on_result, &all[50], on_destroy, &error));
    ok(ask(51));
    err(vhushmem_backend_unmap(r.backend, 0, 52 * PAGE, PAGE, &error), -ENOENT);
    EQ(turns, 0); /* dispatch tells them */
    pthread_join(thread, NULL);
    pump_backend(r.backend);
    EQ(turns, 52);
    each_was_told(0, 7, 0);
    each_was_told(7, 8, -ENOSPC);
    each_was_told(8, 52, 0);
    backend_rig_close(&r);
}

static void free_it(asked *a)
{
    if (a == &all[0]) {
        vhushmem_backend_free(r.backend);
    }
}

static void ends_of_all_kinds(void)
{
    vhushmem_backend_options hasty = {.struct_size = sizeof(hasty), .answer_timeout_ms = 50};

    begin(BACKEND_RIG_FEATURES, NULL); /* the connection's end */
    ask_for(40);
    shutdown(r.main, SHUT_RDWR);
    pump_backend(r.backend);
    each_was_told(0, 40, -ENOTCONN);
    EQ(disconnected_at, 41);
    backend_rig_close(&r);

    begin(BACKEND_RIG_FEATURES, NULL); /* the channel's end */
    ask_for(40);
    shutdown(r.channel, SHUT_RDWR);
    pump_backend(r.backend);
    each_was_told(0, 40, -ENOTCONN);
    EQ(disconnected_at, 0);
    err(ask(41), -ENOTCONN);
    backend_rig_close(&r);

    begin(BACKEND_RIG_FEATURES, NULL); /* the back-end's end */
    ask_for(40);
    backend_rig_close(&r);
    each_was_told(0, 40, -ENOTCONN);

    begin(BACKEND_RIG_FEATURES, NULL); /* the same inside a callback */
    ask_for(40);
    then = free_it;
    answer(MAP, 0);
    STEP_UNTIL(turns > 0, vhushmem_backend_dispatch(r.backend));
    each_was_told(0, 1, 0);
    each_was_told(1, 40, -ENOTCONN);
    close(r.main);
    close(r.channel);

    begin(BACKEND_RIG_FEATURES, NULL); /* a wrong answer */
    ask_for(3);
    answer(MAP, 0);
    answer(UNMAP, 0);
    pump_backend(r.backend);
    each_was_told(0, 1, 0);
    each_was_told(1, 3, -EPROTO);
    CHECK(!vhushmem_backend_is_negotiated(r.backend));
    backend_rig_close(&r);

    begin(BACKEND_RIG_FEATURES, &hasty); /* no answer in time */
    ask_for(3);
    while (turns < 3) {
        CHECK(wait_readable((int)ok(vhushmem_backend_get_fd(r.backend)), PATIENCE_MS)); /* the limit wakes the loop */
        vhushmem_backend_dispatch(r.backend);
    }
    each_was_told(0, 3, -ETIMEDOUT);
    backend_rig_close(&r);
}

static void what_is_refused(void)
{
    begin(BACKEND_RIG_FEATURES, NULL);
    ask_for(MOST);
    refused(ask(MOST), -ENOBUFS, "1024");
    EQ(all[MOST].destroyed, 1);
    EQ(all[MOST].told, 0);
    asked *a = &all[MOST + 1];
    refused(vhushmem_backend_map_async(r.backend, 0, file, 0, 0, 0, 0, on_result, a, on_destroy, &error), -EINVAL, "0x0 bytes");
    refused(vhushmem_backend_map_async(r.backend, 0, file, 0, 0, PAGE, 6, on_result, a, on_destroy, &error), -EINVAL, "0x6");
    refused(vhushmem_backend_unmap_async(r.backend, 0, 0, 0, on_result, a, on_destroy, &error), -EINVAL, "0x0 bytes");
    err(vhushmem_backend_map_async(r.backend, 0, file, 0, 0, PAGE, 0, NULL, a, on_destroy, &error), -EFAULT);
    EQ(a->destroyed, 4);
    backend_rig_close(&r);
    EQ(a->told, 0);
    each_was_told(0, MOST, -ENOTCONN);

    begin(BACKEND_RIG_FEATURES, NULL);
    err(vhushmem_backend_map_async(r.backend, 0, -1, 0, 0, PAGE, 0, on_result, a, on_destroy, &error), -EBADF);
    EQ(a->destroyed, 1);
    backend_rig_close(&r);
}

static void hear_some(uint64_t *heard)
{
    uint64_t offset;
    pump_backend(r.backend);
    while (hear(MAP, &offset)) {
        EQ(offset, (*heard)++ * PAGE);
    }
}

static void without_answers(void)
{
    uint64_t heard = 0;
    begin(BACKEND_RIG_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK), NULL);
    ask_for(200);
    EQ(turns, 0);
    STEP_UNTIL(heard == 200, hear_some(&heard));
    pump_backend(r.backend);
    each_was_told(0, 200, 0);
    backend_rig_close(&r);
}

int main(void)
{
    char *fds = fds_now();
    file = memfd_of(PAGE, 1);
    each_has_its_outcome();
    outcomes_do_not_nest();
    order_is_kept();
    ends_of_all_kinds();
    what_is_refused();
    without_answers();
    close(file);
    same(fds, fds_now());
    return 0;
}
