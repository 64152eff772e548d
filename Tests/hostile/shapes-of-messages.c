/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that state any size, with flags in every combination. */
#include "hostile.h"

/* ---- sizes ---- */

typedef struct shape {
    uint32_t request, said, sent; /* bytes of payload */
    int fds;
} shape;

static int shaped(arena *a, const void *with)
{
    const shape *s = with;
    static uint8_t bytes[sizeof(VhostUserHeader) + 8192];
    VhostUserHeader header = {s->request, NEED_REPLY, s->said};
    VhostUserMMap map = usual_map();
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &map, sizeof(map));
    if (try_send_bytes(a->channel, bytes, sizeof(header) + s->sent, &a->file, s->fds) < 0) {
        return CLOSED;
    }
    int result = answer_on(a->channel, s->request, PATIENCE_MS);
    if (result == 0 && s->request == MAP) {
        a->mapped = map;
    }
    return result;
}

#define SHAPE(name, outcome, ...)                                                                                              \
    {                                                                                                                          \
        "size: " name, outcome, shaped, &(const shape){__VA_ARGS__}, NULL                                                      \
    }

/* ---- flags ---- */

static int flagged(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    uint32_t flags = (uint32_t)(uintptr_t)with;
    bool wants_answer = (flags & NEED_REPLY) == NEED_REPLY;
    if (wants_answer) {
        return ask(a, MAP, flags, &map, sizeof(map), &a->file, 1);
    }
    /* Nobody asked for an answer: the request is done or refused, or the channel ends. The next message from the victim must
       be the next answer. */
    send_message(a->channel, MAP, flags, &map, sizeof(map), &a->file, 1);
    int result = ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0);
    if (result == CLOSED) {
        return CLOSED;
    }
    EQ(result, flags == 1 ? 0 : -ENOENT);
    return SILENT;
}

/* ---- replies that nobody asked for, and requests that there are not ---- */

static int sent_to_main(arena *a, const void *with)
{
    const shape *s = with;
    uint8_t payload[4096] = {0};
    try_send_message(a->hostile.main, s->request, s->said, payload, s->sent, NULL, 0);
    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end;) {
        look l = look_at(a, 'S');
        bool over = l.over;
        CHECK(!over || l.code < 0);
        g_free(l.text);
        if (over) {
            return ENDED;
        }
    }
    return SILENT;
}

#define REPLY(name, outcome, ...)                                                                                              \
    {                                                                                                                          \
        "main: " name, outcome, sent_to_main, &(const shape){__VA_ARGS__}, NULL                                                \
    }

static const hostile_case sizes[] = {
    SHAPE("as it should be", 0, MAP, 40, 40, 1),
    SHAPE("a map of no bytes", -EINVAL, MAP, 0, 0, 1),
    SHAPE("a map of 1 byte", -EINVAL, MAP, 1, 1, 1),
    SHAPE("a map of 8 bytes", -EINVAL, MAP, 8, 8, 1),
    SHAPE("a map of 39 bytes", -EINVAL, MAP, 39, 39, 1),
    SHAPE("a map of 41 bytes", -EINVAL, MAP, 41, 41, 1),
    SHAPE("a map of 80 bytes", -EINVAL, MAP, 80, 80, 1),
    SHAPE("a map of 4084 bytes", -EINVAL, MAP, 4084, 4084, 1),
    SHAPE("a map of 4085 bytes", CLOSED, MAP, 4085, 4085, 1),
    SHAPE("a map that says 4096 bytes and sends 40", CLOSED, MAP, 4096, 40, 1),
    SHAPE("a map that says 1 MiB", CLOSED, MAP, 1 << 20, 40, 1),
    SHAPE("a map that says 2^31 bytes", CLOSED, MAP, UINT32_C(1) << 31, 40, 1),
    SHAPE("a map that says 2^32 - 12 bytes", CLOSED, MAP, UINT32_MAX - 11, 40, 1),
    SHAPE("a map that says 2^32 - 1 bytes", CLOSED, MAP, UINT32_MAX, 40, 1),
    SHAPE("a map that says 39 bytes and sends 40", -EINVAL, MAP, 39, 39, 1),
    SHAPE("an unmap of no bytes", -EINVAL, UNMAP, 0, 0, 0),
    SHAPE("an unmap of 39 bytes", -EINVAL, UNMAP, 39, 39, 0),
    SHAPE("an unmap of 41 bytes", -EINVAL, UNMAP, 41, 41, 0),
    SHAPE("an unmap that says 2^32 - 1 bytes", CLOSED, UNMAP, UINT32_MAX, 40, 0),
    SHAPE("request 0", -EOPNOTSUPP, 0, 8, 8, 0),
    SHAPE("request 11, which nobody knows", -EOPNOTSUPP, 11, 8, 8, 0),
    SHAPE("request 2^32 - 1", -EOPNOTSUPP, UINT32_MAX, 8, 8, 0),
    SHAPE("request 99 of 4084 bytes", -EOPNOTSUPP, 99, 4084, 4084, 0),
    SHAPE("IOTLB_MSG, which nobody carries out", -EOPNOTSUPP, 1, 40, 40, 0),
    SHAPE("VRING_HOST_NOTIFIER_MSG, likewise", -EOPNOTSUPP, 3, 24, 24, 1),
    SHAPE("SHARED_OBJECT_ADD, which was not agreed on", -EOPNOTSUPP, 6, 16, 16, 0),
    REPLY("a reply that nobody asked for", ENDED, GET_FEATURES, 0x5, 8, 0),
    REPLY("an acknowledgement that nobody asked for", ENDED, SET_OWNER, 0x5, 8, 0),
    REPLY("a request where replies come", ENDED, MAP, 0x9, 40, 0),
    REPLY("a reply of another version", ENDED, GET_FEATURES, 0x6, 8, 0),
    REPLY("a reply of 4096 bytes", ENDED, GET_CONFIG, 0x5, 4096, 0),
};

/* The time limit of messages ends this one. */
static const hostile_case cut_short[] = {
    SHAPE("a map that says 41 bytes and sends 40", CLOSED, MAP, 41, 40, 1),
};

int main(void)
{
    enum { VERSIONS = 4, BITS = 4 };
    hostile_case flags[VERSIONS * BITS * 2];
    size_t count = 0;
    for (uint32_t version = 0; version < VERSIONS; version++) {
        for (uint32_t bits = 0; bits < BITS * 2; bits++) {
            uint32_t value = version | (bits & 1) << 2 | (bits & 2) << 2 | (bits & 4 ? UINT32_C(1) << 31 : 0);
            hostile_case *c = &flags[count++];
            memset(c, 0, sizeof(*c));
            c->name = g_strdup_printf("flags: version %u%s%s%s", version, bits & 1 ? ", reply" : "",
                                      bits & 2 ? ", need_reply" : "", bits & 4 ? ", a reserved bit" : "");
            c->act = flagged;
            c->with = (const void *)(uintptr_t)value;
            c->outcome = version != 1 || (bits & 1) ? CLOSED : !(bits & 2) ? SILENT : (bits & 4) ? -EINVAL : 0;
        }
    }
    CASES_BEGIN(G_N_ELEMENTS(sizes) + G_N_ELEMENTS(cut_short) + count);
    run_cases(sizes, G_N_ELEMENTS(sizes));
    run_cases(flags, count);
    message_timeout_ms = MESSAGE_TIMEOUT_MS;
    run_cases(cut_short, G_N_ELEMENTS(cut_short));
    for (size_t i = 0; i < count; i++) {
        g_free((char *)flags[i].name);
    }
    return failures != 0;
}
