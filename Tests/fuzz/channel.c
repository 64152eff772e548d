/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Target `channel`: the input is a back-end. It chooses the options of two regions and of the channel, the messages with
 * their descriptors, the pieces in which they are sent, and the VMM's actions in between. Each answer, each mapping and each
 * word of the windows must agree with the model.
 */
#include "channel-session.h"

/* ---- one message ---- */

typedef struct sending {
    VhostUserHeader header;
    uint8_t payload[LONGEST_PAYLOAD];
    kind kinds[16];
    int fds[16];
    int fd_count;
} sending;

static void expect_mapping(session *s, const sending *m, bool is_older)
{
    bool is_map = m->header.request == MAP;
    VhostUserMMap map;
    int result;
    if (m->header.size != sizeof(map) || (m->header.flags & ~0xfu) != 0 || m->fd_count != is_map) {
        result = -EINVAL;
    } else if (is_older) {
        result = -ECANCELED;
    } else {
        memcpy(&map, m->payload, sizeof(map));
        result = is_map ? model_map(&s->model, &map, m->kinds[0]) : model_unmap(&s->model, &map);
    }
    if (m->header.flags & VHOST_USER_NEED_REPLY_MASK) {
        owe(s, m->header.request, result, false);
    }
}

static void expect_other(session *s, const sending *m)
{
    bool wants_answer = m->header.flags & VHOST_USER_NEED_REPLY_MASK;
    if ((m->header.flags & ~0xfu) != 0 || m->fd_count > 8 || !s->has_callback) {
        if (wants_answer) {
            owe(s, m->header.request, (m->header.flags & ~0xfu) != 0 || m->fd_count > 8 ? -EINVAL : -EOPNOTSUPP, false);
        }
        return;
    }
    int result = vmm_answer(m->payload, m->header.size);
    bool has_fd = result == 0 && m->header.size > 1 && m->payload[1] == 1;
    if (wants_answer || has_fd || (result != 0 && m->header.request == LOOK_UP)) {
        owe(s, m->header.request, result, has_fd);
    }
}

/* In one piece, or in several: the descriptors are on the first byte. */
static void transmit(session *s, const sending *m, uint32_t size)
{
    uint8_t bytes[12 + LONGEST_PAYLOAD];
    memcpy(bytes, &m->header, 12);
    memcpy(bytes + 12, m->payload, size);
    uint32_t at = 0, total = 12 + size;
    uint8_t pieces = take(s->in);
    for (int unread = 1; at < total; unread++) {
        uint32_t piece = pieces < 160 ? total : 1 + below(s->in, 64);
        piece = piece > total - at ? total - at : piece;
        send_bytes(s->peer, bytes + at, piece, m->fds, at == 0 ? m->fd_count : 0);
        s->sent += piece;
        at += piece;
        if ((pieces & 1 || unread % 64 == 0) && at < total) { /* a socket holds a limited number of pieces */
            serve(s);
        }
        if (pieces == 255 && s->resets == 1 && at < total) {
            /* A reset ends in the middle of a message. The message counts as older. */
            serve(s);
            ok(vhushmem_channel_end_reset(s->channel));
            s->resets = 0;
            s->older = s->sent;
        }
    }
}

static void send_one(session *s, sending *m)
{
    uint64_t begin = s->sent;
    bool bad_version = (m->header.flags & 3) != 1, too_long = m->header.size > LONGEST_PAYLOAD;
    if (bad_version || too_long) {
        send_bytes(s->peer, &m->header, 12, m->fds, m->fd_count);
        lose(s);
        return;
    }
    transmit(s, m, m->header.size);
    if (m->header.flags & VHOST_USER_REPLY_MASK) {
        lose(s);
        return;
    }
    s->expected_events++;
    if (m->header.request == MAP || m->header.request == UNMAP) {
        expect_mapping(s, m, s->resets > 0 || begin < s->older);
    } else {
        expect_other(s, m);
    }
}

static void take_descriptors(session *s, sending *m, int count)
{
    m->fd_count = count;
    for (int i = 0; i < count; i++) {
        uint8_t k = take(s->in);
        m->kinds[i] = k < KINDS ? (kind)k : PLAIN;
        m->fds[i] = files[m->kinds[i]].fd;
    }
}

static void take_message(session *s, sending *m, uint8_t operation)
{
    static const uint8_t ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 44, 255};
    input *in = s->in;
    memset(m, 0, sizeof(*m));
    VhostUserMMap map = {0};
    m->header.flags = 0x9;
    switch (operation) {
    case 0 ... 3: /* a right request */
        m->header.request = MAP;
        m->header.size = sizeof(map);
        take_descriptors(s, m, 1);
        map.shmid = s->model.regions[below(in, REGIONS)].shmid;
        map.shm_offset = take_size(in, PAGE);
        map.len = take_size(in, PAGE);
        map.fd_offset = take_size(in, PAGE);
        map.flags = below(in, 3) & 1;
        break;
    case 4: { /* a live mapping, or nearly one */
        region_model *r = &s->model.regions[below(in, REGIONS)];
        mapping *it = &r->mappings[below(in, PAGES)];
        m->header.request = UNMAP;
        m->header.size = sizeof(map);
        map.shmid = r->shmid;
        map.shm_offset = it->offset;
        map.len = it->len + (below(in, 8) == 7);
        break;
    }
    default:
        m->header.request = ids[below(in, sizeof(ids))];
        m->header.size = operation == 5 ? 40 : (uint32_t)take_word(in, 2) % 5000;
        m->header.flags = operation == 5 ? 0x9 : take(in);
        take_descriptors(s, m, operation == 5 ? (int)below(in, 2) : (int)below(in, 17) % 17);
        if (m->fd_count == 17) {
            m->fd_count = 16;
        }
        map.shmid = take(in);
        map.fd_offset = take_size(in, PAGE);
        map.shm_offset = take_size(in, PAGE);
        map.len = take_size(in, PAGE);
        map.flags = take_size(in, 1);
    }
    if (operation == 7) {
        m->header.flags = (uint32_t)take_word(in, 4);
        m->header.size = (uint32_t)take_word(in, 4);
    }
    memcpy(m->payload, &map, sizeof(map));
}

/* ---- the session ---- */

static void step(session *s)
{
    sending m;
    uint8_t operation = take(s->in);
    switch (operation & 15) {
    case 0 ... 7:
        take_message(s, &m, operation & 15);
        send_one(s, &m);
        if (s->owed_count > 100 || s->unserved++ > 32) {
            serve(s);
        }
        break;
    case 8: /* a whole batch waits until here */
        serve(s);
        break;
    case 9:
        serve(s);
        regions_are_as_modelled(&s->model);
        break;
    case 10:
        if (s->resets == 0 && operation & 16) {
            serve(s);
            ok(vhushmem_channel_begin_reset(s->channel));
            s->resets = 1;
            model_forget_all(&s->model);
        }
        break;
    case 11:
        serve(s);
        ok(vhushmem_channel_end_reset(s->channel));
        if (s->resets == 1) {
            s->resets = 0;
            s->older = s->sent;
        }
        break;
    case 12: /* descriptors in the middle of a message */
        if (operation == 0xfc) {
            VhostUserHeader header = {MAP, 0x9, 40};
            serve(s);
            send_bytes(s->peer, &header, 12, NULL, 0);
            serve(s);
            send_bytes(s->peer, &header, 12, &files[PLAIN].fd, 1);
            lose(s);
        }
        break;
    case 13:
        if (operation == 0xfd) {
            serve(s);
            shutdown(s->peer, below(s->in, 2) ? SHUT_WR : SHUT_RDWR);
            s->is_lost = true;
        }
        break;
    default:
        break;
    }
}

static void session_open(session *s, int *peer)
{
    int pair[2];
    input *in = s->in;
    uint8_t setup = take(in), limits = take(in);
    static const uint64_t max_mappings[] = {0, 0, 1, 5}, max_pages[] = {0, 0, 3, 20};
    s->model.fd_policy = setup & 7;
    s->keeps = setup & 8;
    s->has_callback = setup & 16;
    s->model.max_mappings = max_mappings[limits & 3];
    s->model.max_bytes = max_pages[limits >> 2 & 3] * PAGE;
    vhushmem_device_options device = {
        .struct_size = sizeof(device), .max_mappings = s->model.max_mappings, .max_bytes = s->model.max_bytes};
    s->device = some(vhushmem_device_new(&device, &error));
    for (int i = 0; i < REGIONS; i++) {
        region_model *r = &s->model.regions[i];
        r->shmid = i == 0 ? 0 : 255;
        r->max_mappings = max_mappings[limits >> 4 & 3];
        r->max_bytes = max_pages[limits >> 6 & 3] * PAGE;
        vhushmem_region_options options = {.struct_size = sizeof(options),
                                           .holes = setup >> 5 & 1,
                                           .fd_policy = s->model.fd_policy,
                                           .flags = setup >> 5 & (VHUSHMEM_REGION_HUGEPAGE | VHUSHMEM_REGION_KEEP_FDS),
                                           .max_mappings = r->max_mappings,
                                           .max_bytes = r->max_bytes};
        r->region = some(vhushmem_region_new(s->device, r->shmid, PAGES * PAGE, &options, &error));
    }
    model_forget_all(&s->model);
    two_sockets(pair);
    *peer = pair[1];
    vhushmem_channel_options options = {.struct_size = sizeof(options), .flags = s->keeps ? VHUSHMEM_CHANNEL_KEEP_MAPPINGS : 0};
    s->channel = some(vhushmem_channel_new(pair[0], s->device, &options, &error));
    ok(vhushmem_channel_set_callback(s->channel, on_event, s, NULL));
    if (s->has_callback) {
        ok(vhushmem_channel_set_request_callback(s->channel, on_request, s, NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    input in = {data, data + size};
    session s = {.in = &in};
    if (!is_ready) {
        files_open();
        ask_the_kernel();
        is_ready = true;
    }
    held before = held_now();
    session_open(&s, &s.peer);
    for (int steps = 0; steps < 100 && !is_over(&in) && !s.is_lost; steps++) {
        step(&s);
    }
    if (s.is_lost && s.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0) {
        pump_channel(s.channel); /* it hung up: its answers can no longer be read */
        EQ(s.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
        if (!s.keeps) {
            model_forget_all(&s.model);
        }
    } else {
        serve(&s);
    }
    regions_are_as_modelled(&s.model);
    vhushmem_channel_free(s.channel);
    if (!s.keeps) {
        model_forget_all(&s.model);
    }
    regions_are_as_modelled(&s.model);
    vhushmem_device_unref(s.device);
    close(s.peer);
    nothing_is_left(before);
    return 0;
}
