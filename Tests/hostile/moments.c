/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests at the wrong time, half messages, slow ones, and floods of them. */
#include "hostile.h"

/* ---- before, after, in between ---- */

/* The handshake stops before this request is answered. The channel exists. */
static void stops_before(arena *a, const void *with) { a->hostile.mute = (uint32_t)(uintptr_t)with; }

static void without_shmem(arena *a, const void *with)
{
    (void)with;
    a->hostile.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_SHMEM);
}

static int map_now(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    (void)with;
    return ask_map(a, &map, a->file);
}

static int after_a_reset(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    (void)with;
    EQ(ask_map(a, &map, a->file), 0);
    g_free(look_at(a, 'R').text);
    /* The mapping went with the reset. A map may still count once as older than the reset. */
    int result = ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
    CHECK(result == -ENOENT || result == -ECANCELED);
    while ((result = ask_map(a, &map, a->file)) == -ECANCELED) {}
    return result;
}

static void never_resets(arena *a, const void *with)
{
    (void)with;
    a->hostile.mute = RESET_DEVICE;
}

static int during_a_reset(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    (void)with;
    wait_until_ready(a);
    EQ(ask_map(a, &map, a->file), 0);
    a->mapped.len = 0;
    g_free(look_at(a, 'R').text);
    EQ(ask_map(a, &map, a->file), -ECANCELED);
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), -ECANCELED);
    /* No answer ever comes: the connection ends. */
    return hung_up(a->channel, PATIENCE_MS) ? ENDED : SILENT;
}

static int after_a_stop(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    (void)with;
    EQ(ask_map(a, &map, a->file), 0);
    g_free(look_at(a, 'T').text);
    /* A stop does not end mappings. */
    EQ(ask_map(a, &map, a->file), -EEXIST);
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), 0);
    return ask_map(a, &map, a->file);
}

static int after_the_end(arena *a, const void *with)
{
    (void)with;
    peer_hang_up(&a->hostile);
    CHECK(hung_up(a->channel, PATIENCE_MS));
    VhostUserMMap map = usual_map();
    CHECK(try_send_message(a->channel, MAP, NEED_REPLY, &map, sizeof(map), &a->file, 1) < 0);
    return ENDED;
}

static int twice(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    (void)with;
    EQ(ask_map(a, &map, a->file), 0);
    int result = ask_map(a, &map, a->file);
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), 0);
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), -ENOENT);
    a->mapped.len = 0;
    return result;
}

static int over_two(arena *a, const void *with)
{
    VhostUserMMap first = {.shm_offset = 4 * PAGE, .len = PAGE}, second = {.shm_offset = 6 * PAGE, .len = 100};
    VhostUserMMap over = {.shm_offset = 3 * PAGE, .len = 5 * PAGE};
    (void)with;
    EQ(ask_map(a, &first, a->file), 0);
    EQ(ask_map(a, &second, a->file), 0);
    int result = ask_map(a, &over, a->file);
    EQ(ask(a, UNMAP, NEED_REPLY, &over, sizeof(over), NULL, 0), -EINVAL);
    EQ(ask(a, UNMAP, NEED_REPLY, &first, sizeof(first), NULL, 0), 0);
    EQ(ask(a, UNMAP, NEED_REPLY, &second, sizeof(second), NULL, 0), 0);
    a->mapped.len = 0;
    return result;
}

/* ---- half messages, and slow ones ---- */

static size_t whole_message(uint8_t bytes[64])
{
    VhostUserHeader header = {MAP, NEED_REPLY, sizeof(VhostUserMMap)};
    VhostUserMMap map = usual_map();
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &map, sizeof(map));
    return sizeof(header) + sizeof(map);
}

static int part_and_silence(arena *a, const void *with)
{
    uint8_t bytes[64];
    whole_message(bytes);
    send_bytes(a->channel, bytes, (size_t)(uintptr_t)with, &a->file, 1);
    int64_t before = now_ms();
    int result = answer_on(a->channel, MAP, PATIENCE_MS);
    CHECK(now_ms() - before >= MESSAGE_TIMEOUT_MS / 2);
    return result;
}

static int part_and_the_end(arena *a, const void *with)
{
    uint8_t bytes[64];
    whole_message(bytes);
    send_bytes(a->channel, bytes, (size_t)(uintptr_t)with, &a->file, 1);
    shutdown(a->channel, SHUT_WR);
    return answer_on(a->channel, MAP, PATIENCE_MS);
}

/* Byte by byte, with so many microseconds in between. */
static int slowly(arena *a, const void *with)
{
    uint8_t bytes[64];
    size_t size = whole_message(bytes);
    for (size_t i = 0; i < size; i++) {
        if (try_send_bytes(a->channel, bytes + i, 1, &a->file, i == 0 ? 1 : 0) < 0) {
            return CLOSED;
        }
        usleep((useconds_t)(uintptr_t)with);
    }
    int result = answer_on(a->channel, MAP, PATIENCE_MS);
    a->mapped = usual_map();
    return result;
}

/* ---- floods ---- */

/* As many as the socket takes, and at most a million: the victim stops reading if nobody reads its answers. */
static int answers_unread(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    bool maps = with != NULL;
    long before = victim_kib(a);
    int sent = 0, served = 0;
    CHECK(fcntl(a->channel, F_SETFL, fcntl(a->channel, F_GETFL) | O_NONBLOCK) == 0);
    for (int64_t end = now_ms() + 1000; sent < 1000000 && (sent <= 10 || now_ms() < end);) {
        if (try_send_message(a->channel, maps ? MAP : UNMAP, NEED_REPLY, &map, sizeof(map), &a->file, maps ? 1 : 0) > 0) {
            sent++;
        } else {
            CHECK(errno == EAGAIN || errno == ETOOMANYREFS);
            usleep(1000);
        }
    }
    long grown = victim_kib(a) - before;
    if (grown > 4096 && !under_sanitizer()) { /* a sanitizer keeps freed memory for a while */
        FAIL("the victim has grown by %ld KiB", grown);
    }
    CHECK(fcntl(a->channel, F_SETFL, fcntl(a->channel, F_GETFL) & ~O_NONBLOCK) == 0);
    for (int i = 0; i < sent; i++) {
        int result = answer_on(a->channel, maps ? MAP : UNMAP, PATIENCE_MS);
        CHECK(result == 0 || result == -EEXIST || result == -ENOENT);
        served += result == 0;
    }
    EQ(served, maps ? 1 : 0);
    if (maps) {
        EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), 0);
    }
    printf("note: %d requests went before the victim read no more\n", sent);
    return 0;
}

/* Nobody asks for an answer, so all are served. The others on the loop do not wait long. */
static int no_answers(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    bool pairs = with != NULL;
    long before = victim_kib(a);
    int count = steps(pairs ? 100000 : 1000000);
    for (int i = 0; i < count; i++) {
        if (pairs) {
            send_message(a->channel, MAP, 0x1, &map, sizeof(map), &a->file, 1);
        }
        send_message(a->channel, UNMAP, 0x1, &map, sizeof(map), NULL, 0);
    }
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), -ENOENT);
    long grown = victim_kib(a) - before;
    if (grown > 4096 && !under_sanitizer()) { /* a sanitizer keeps freed memory for a while */
        FAIL("the victim has grown by %ld KiB", grown);
    }
    g_free(look_at(a, 'S').text);
    printf("note: %d requests, no turn of the loop took longer than %d ms\n", count, a->worst_ms);
    return 0;
}

/* The main socket's turn: a back-end sends something unasked. */
static int flood_of_main(arena *a, const void *with)
{
    uint8_t junk[4096];
    memset(junk, (int)(intptr_t)with, sizeof(junk));
    while (try_send_bytes(a->hostile.main, junk, sizeof(junk), NULL, 0) > 0) {}
    return hung_up(a->channel, PATIENCE_MS) ? ENDED : SILENT;
}

/* Bytes of every value on the channel. */
static int junk(arena *a, const void *with)
{
    uint8_t bytes[512];
    uint64_t state = (uint64_t)(uintptr_t)with;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(state >> 56);
    }
    try_send_bytes(a->channel, bytes, sizeof(bytes), NULL, 0);
    return answer_on(a->channel, MAP, PATIENCE_MS);
}

static const hostile_case cases[] = {
    {"before GET_SHMEM_CONFIG is answered", -ENOENT, map_now, NULL, stops_before},
    {"before SET_OWNER is answered", -ENOENT, map_now, NULL, stops_before},
    {"SHMEM was not agreed on", -EOPNOTSUPP, map_now, NULL, without_shmem},
    {"after a reset", 0, after_a_reset, NULL, NULL},
    {"after a stop", 0, after_a_stop, NULL, NULL},
    {"after the connection", ENDED, after_the_end, NULL, NULL},
    {"the same map twice, and undone twice", -EEXIST, twice, NULL, NULL},
    {"a map over two others", -EEXIST, over_two, NULL, NULL},
    {"half a header, then the end", CLOSED, part_and_the_end, (void *)6, NULL},
    {"half a payload, then the end", CLOSED, part_and_the_end, (void *)30, NULL},
    {"byte by byte, in time", 0, slowly, (void *)1000, NULL},
    {"a million unmaps whose answers are not read", 0, answers_unread, NULL, NULL},
    {"a million maps whose answers are not read", 0, answers_unread, (void *)1, NULL},
    {"a million unmaps without answers", 0, no_answers, NULL, NULL},
    {"a hundred thousand pairs without answers", 0, no_answers, (void *)1, NULL},
    {"zeros without end on the main socket", ENDED, flood_of_main, (void *)0, NULL},
    {"ones without end on the main socket", ENDED, flood_of_main, (void *)0xff, NULL},
    {"junk on the channel", CLOSED, junk, (void *)1, NULL},
    {"other junk on the channel", CLOSED, junk, (void *)2, NULL},
    {"more junk on the channel", CLOSED, junk, (void *)3, NULL},
};

/* The time limit of messages ends these. */
static const hostile_case late_messages[] = {
    {"one byte, then silence", CLOSED, part_and_silence, (void *)1, NULL},
    {"half a header, then silence", CLOSED, part_and_silence, (void *)6, NULL},
    {"a header, then silence", CLOSED, part_and_silence, (void *)12, NULL},
    {"all but one byte, then silence", CLOSED, part_and_silence, (void *)51, NULL},
    {"byte by byte, too slowly", CLOSED, slowly, (void *)20000, NULL},
};

/* The time limit of requests ends these. */
static const hostile_case late_answers[] = {
    {"during a reset that is never answered", ENDED, during_a_reset, NULL, never_resets},
};

int main(void)
{
    static hostile_case all[G_N_ELEMENTS(cases)];
    memcpy(all, cases, sizeof(cases));
    all[0].with = (void *)(uintptr_t)GET_SHMEM_CONFIG;
    all[1].with = (void *)(uintptr_t)SET_OWNER;
    CASES_BEGIN(G_N_ELEMENTS(cases) + G_N_ELEMENTS(late_messages) + G_N_ELEMENTS(late_answers));
    run_cases(all, G_N_ELEMENTS(cases));
    message_timeout_ms = MESSAGE_TIMEOUT_MS;
    run_cases(late_messages, G_N_ELEMENTS(late_messages));
    message_timeout_ms = PATIENCE_MS;
    request_timeout_ms = REQUEST_TIMEOUT_MS;
    run_cases(late_answers, G_N_ELEMENTS(late_answers));
    return failures != 0;
}
