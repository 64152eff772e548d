/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole session of the back-end against a transcript that was written by hand from the protocol's tables: the bytes that
 * it receives, and every byte that it answers. Each request that needs a protocol feature is also sent where that was not
 * negotiated, and refused.
 */
#include "backend-rig.h"
#include "transcript.h"

#include <sys/eventfd.h>

enum { NO_FD, RAM_FD, EVENT_FD, SOCKET_FD, PIPE_FD };

static const struct line {
    const char *said;
    int fd;
    const char *replied; /* "": no reply */
    int reply_fds;
    int needs; /* the bit of the protocol feature that it needs; -1: none */
} transcript[] = {
    /* GET_FEATURES: bits 26, 28, 30 and 32; GET_PROTOCOL_FEATURES: 0 1 3 5 6 9 10 12 13 14 15 16 18 19 22; all of them are accepted */
    {"01000000 01000000 00000000", NO_FD, "01000000 05000000 08000000 0000005401000000", 0, -1},
    {"0f000000 01000000 00000000", NO_FD, "0f000000 05000000 08000000 6bf64d0000000000", 0, -1},
    {"10000000 01000000 08000000 6bf64d0000000000", NO_FD, "", 0, -1},
    /* GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, SET_BACKEND_REQ_FD, SET_OWNER, GET_SHMEM_CONFIG (zeros behind are compared below) */
    {"11000000 09000000 00000000", NO_FD, "11000000 05000000 08000000 0200000000000000", 0, 0},
    {"24000000 09000000 00000000", NO_FD, "24000000 05000000 08000000 fd01000000000000", 0, 15},
    {"15000000 09000000 00000000", SOCKET_FD, "15000000 05000000 08000000 0000000000000000", 0, 5},
    {"03000000 09000000 00000000", NO_FD, "03000000 05000000 08000000 0000000000000000", 0, -1},
    /* SET_FEATURES: 30 and 32; of one that was not offered: -EINVAL; SET_STATUS 11, GET_STATUS */
    {"02000000 09000000 08000000 0100000000000000", NO_FD, "02000000 05000000 08000000 eaffffffffffffff", 0, -1},
    {"02000000 09000000 08000000 0000004001000000", NO_FD, "02000000 05000000 08000000 0000000000000000", 0, -1},
    {"27000000 09000000 08000000 0b00000000000000", NO_FD, "27000000 05000000 08000000 0000000000000000", 0, 16},
    {"28000000 09000000 00000000", NO_FD, "28000000 05000000 08000000 0b00000000000000", 0, 16},
    /* SET_MEM_TABLE: one range; then ADD_MEM_REG of another, which overlaps: -EEXIST; elsewhere; REM_MEM_REG of it; again: -ENOENT */
    {"05000000 09000000 28000000 01000000 00000000 0000100000000000 0040000000000000 00001000007f0000 0000000000000000", RAM_FD,
     "05000000 05000000 08000000 0000000000000000", 0, -1},
    {"25000000 09000000 28000000 0000000000000000 0030100000000000 0020000000000000 00003000007f0000 0000000000000000", RAM_FD,
     "25000000 05000000 08000000 efffffffffffffff", 0, 15},
    {"25000000 09000000 28000000 0000000000000000 0000200000000000 0020000000000000 00003000007f0000 0000000000000000", RAM_FD,
     "25000000 05000000 08000000 0000000000000000", 0, 15},
    {"26000000 09000000 28000000 0000000000000000 0000200000000000 0020000000000000 00003000007f0000 0000000000000000", NO_FD,
     "26000000 05000000 08000000 0000000000000000", 0, 15},
    {"26000000 09000000 28000000 0000000000000000 0000200000000000 0020000000000000 00003000007f0000 0000000000000000", NO_FD,
     "26000000 05000000 08000000 feffffffffffffff", 0, 15},
    /* GET_INFLIGHT_FD for a queue of 8: 192 bytes */
    {"1f000000 09000000 18000000 0000000000000000 0000000000000000 0100 0800 00000000", NO_FD,
     "1f000000 05000000 18000000 c000000000000000 0000000000000000 0100 0800 00000000", 1, 12},
    /* SET_LOG_BASE: 64 bytes at 16 of a file, which is always replied to; SET_LOG_FD; SET_VRING_ENDIAN of queue 1: little, and big */
    {"06000000 09000000 10000000 4000000000000000 1000000000000000", RAM_FD, "06000000 05000000 08000000 0000000000000000", 0,
     1},
    {"07000000 09000000 00000000", EVENT_FD, "07000000 05000000 08000000 0000000000000000", 0, -1},
    {"17000000 09000000 08000000 01000000 00000000", NO_FD, "17000000 05000000 08000000 0000000000000000", 0, 6},
    {"17000000 09000000 08000000 01000000 01000000", NO_FD, "17000000 05000000 08000000 a1ffffffffffffff", 0, 6},
    /* SET_VRING_NUM 8 of queue 1, of queue 2, which does not exist: -EINVAL; _BASE 7, _ADDR, _CALL, _ERR, _KICK; _ENABLE */
    {"08000000 09000000 08000000 01000000 08000000", NO_FD, "08000000 05000000 08000000 0000000000000000", 0, -1},
    {"08000000 09000000 08000000 02000000 08000000", NO_FD, "08000000 05000000 08000000 eaffffffffffffff", 0, -1},
    {"0a000000 09000000 08000000 01000000 07000000", NO_FD, "0a000000 05000000 08000000 0000000000000000", 0, -1},
    {"09000000 09000000 28000000 01000000 00000000 00001000007f0000 00201000007f0000 00101000007f0000 0000000000000000", NO_FD,
     "09000000 05000000 08000000 0000000000000000", 0, -1},
    {"0d000000 09000000 08000000 0100000000000000", EVENT_FD, "0d000000 05000000 08000000 0000000000000000", 0, -1},
    {"0e000000 09000000 08000000 0100000000000000", EVENT_FD, "0e000000 05000000 08000000 0000000000000000", 0, -1},
    {"0c000000 09000000 08000000 0100000000000000", EVENT_FD, "0c000000 05000000 08000000 0000000000000000", 0, -1},
    {"12000000 09000000 08000000 01000000 01000000", NO_FD, "12000000 05000000 08000000 0000000000000000", 0, -1},
    /* VRING_KICK of queue 1 */
    {"23000000 09000000 08000000 01000000 00000000", NO_FD, "23000000 05000000 08000000 0000000000000000", 0, 14},
    /* GET_CONFIG and SET_CONFIG: offset 4, 3 bytes; beyond the end: no bytes, and -EINVAL */
    {"18000000 09000000 0f000000 04000000 03000000 00000000 000000", NO_FD,
     "18000000 05000000 0f000000 04000000 03000000 00000000 040506", 0, 9},
    {"19000000 09000000 0f000000 04000000 03000000 00000000 78797a", NO_FD, "19000000 05000000 08000000 0000000000000000", 0,
     9},
    {"18000000 09000000 0f000000 0e000000 03000000 00000000 000000", NO_FD, "18000000 05000000 00000000", 0, 9},
    {"19000000 09000000 0f000000 0e000000 03000000 00000000 78797a", NO_FD, "19000000 05000000 08000000 eaffffffffffffff", 0,
     9},
    /* GET_SHARED_OBJECT: known, and not */
    {"29000000 09000000 10000000 000102030405060708090a0b0c0d0e0f", NO_FD,
     "29000000 05000000 10000000 000102030405060708090a0b0c0d0e0f", 1, 18},
    {"29000000 09000000 10000000 ff0102030405060708090a0b0c0d0e0f", NO_FD,
     "29000000 05000000 10000000 ff0102030405060708090a0b0c0d0e0f", 0, 18},
    /* SET_VRING_ENABLE 0, GET_VRING_BASE, which is 7; SET_DEVICE_STATE_FD and CHECK_DEVICE_STATE; SET_STATUS 0; RESET_DEVICE */
    {"12000000 09000000 08000000 01000000 00000000", NO_FD, "12000000 05000000 08000000 0000000000000000", 0, -1},
    {"0b000000 09000000 08000000 01000000 00000000", NO_FD, "0b000000 05000000 08000000 01000000 07000000", 0, -1},
    {"2a000000 09000000 08000000 00000000 00000000", PIPE_FD, "2a000000 05000000 08000000 0001000000000000", 0, 19},
    {"2b000000 09000000 00000000", NO_FD, "2b000000 05000000 08000000 0000000000000000", 0, 19},
    {"27000000 09000000 08000000 0000000000000000", NO_FD, "27000000 05000000 08000000 0000000000000000", 0, 16},
    {"22000000 09000000 00000000", NO_FD, "22000000 05000000 08000000 0000000000000000", 0, 13},
    /* Requests that are not served: SEND_RARP, and an unknown one: -EOPNOTSUPP */
    {"13000000 09000000 08000000 0000000000000000", NO_FD, "13000000 05000000 08000000 a1ffffffffffffff", 0, -1},
    {"e8030000 09000000 00000000", NO_FD, "e8030000 05000000 08000000 a1ffffffffffffff", 0, -1},
};

static int get_config(vhushmem_backend *b, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)b;
    (void)user_data;
    for (uint32_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = (uint8_t)(offset + i);
    }
    return 0;
}

static int set_config(vhushmem_backend *b, uint32_t offset, const void *buf, uint32_t len, unsigned flags, void *user_data)
{
    (void)b;
    (void)user_data;
    CHECK(offset == 4 && len == 3 && flags == 0 && memcmp(buf, "xyz", 3) == 0);
    return 0;
}

static int get_shared_object(vhushmem_backend *b, const uint8_t *uuid, void *user_data)
{
    (void)b;
    (void)user_data;
    return uuid[0] == 0 ? memfd_of(PAGE, 1) : -ENOENT;
}

static int transfer_state(vhushmem_backend *b, int direction, int fd, void *user_data)
{
    (void)b;
    (void)user_data;
    EQ(direction, VHUSHMEM_STATE_SAVE);
    close(fd);
    return 0;
}

static int check_state(vhushmem_backend *b, void *user_data)
{
    (void)b;
    (void)user_data;
    return 0;
}

static void open_rig(backend_rig *r)
{
    static const vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                                       .get_config = get_config,
                                                       .set_config = set_config,
                                                       .get_shared_object = get_shared_object,
                                                       .transfer_state = transfer_state,
                                                       .check_state = check_state};
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .num_queues = 2,
                                        .config_size = 16,
                                        .features = BIT(28),
                                        .protocol_features = UINT64_MAX};
    int pair[2];
    memset(r, 0, sizeof(*r));
    r->channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r->main = pair[0];
    r->backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(r->backend, backend_rig_event, r, NULL));
    ok(vhushmem_backend_set_handlers(r->backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_add_region(r->backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(r->backend, pair[1], &error));
}

/* A descriptor of this kind, which the caller owns; -1: none. */
static int make_fd(int kind, int *other)
{
    int pair[2];
    *other = -1;
    switch (kind) {
    case RAM_FD:
        return memfd_of(4 * PAGE, 0);
    case EVENT_FD:
        return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    case SOCKET_FD:
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        break;
    case PIPE_FD:
        CHECK(pipe2(pair, O_CLOEXEC) == 0);
        break;
    default:
        return -1;
    }
    *other = pair[0];
    return pair[1];
}

/* Sends a line and checks the reply. The other end of a socket or pipe stays open. */
static void say(backend_rig *r, const struct line *line, const char *replied, int reply_fds, int *other)
{
    message m;
    int fd = make_fd(line->fd, other);
    send_line(r->main, line->said, &fd, fd >= 0 ? 1 : 0);
    if (fd >= 0) {
        close(fd);
    }
    pump_backend(r->backend);
    if (replied[0] != 0) {
        EQ(receive(r->main, &m, PATIENCE_MS), 1);
        is_line(&m, replied, reply_fds, line->said);
        for (int n = 0; n < m.fd_count; n++) {
            close(m.fds[n]);
        }
    }
    CHECK(r->events[VHUSHMEM_BACKEND_DISCONNECT] > 0 || !wait_readable(r->main, 0)); /* not a byte more */
}

static void regions_are_told(backend_rig *r)
{
    message m;
    uint8_t wanted[2056] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    send_line(r->main, "2c000000 09000000 00000000", NULL, 0);
    pump_backend(r->backend);
    EQ(receive(r->main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, 44);
    EQ(m.header.flags, 5);
    EQ(m.header.size, 2056);
    CHECK(memcmp(m.payload, wanted, 2056) == 0);
}

/* Where the reply is a value, no value means "no", so the connection ends. */
static bool replies_itself(uint32_t request)
{
    static const uint8_t ids[] = {1, 11, 15, 17, 24, 31, 36, 40, 41, 42, 43, 44};
    return memchr(ids, (int)request, sizeof(ids)) != NULL;
}

/* The transcript up to here, with all protocol features except the one that this line needs. */
static void is_refused_without(const struct line *needy)
{
    backend_rig r;
    int others[G_N_ELEMENTS(transcript)], n = 0;
    char accept[64], refusal[64];
    uint32_t request = 0;
    uint64_t features = UINT64_C(0x4df66b) & ~BIT(needy->needs);
    open_rig(&r);
    snprintf(accept, sizeof(accept), "10000000 01000000 08000000 %02x%02x%02x0000000000", (unsigned)(features & 0xff),
             (unsigned)(features >> 8 & 0xff), (unsigned)(features >> 16 & 0xff));
    struct line first = {accept, NO_FD, "", 0, -1};
    say(&r, &first, "", 0, &others[n++]);
    for (int i = 3; i >= 0; i--) {
        char hex[3] = {needy->said[2 * i], needy->said[2 * i + 1], 0};
        request = request << 8 | (uint32_t)strtoul(hex, NULL, 16);
    }
    if (replies_itself(request)) {
        say(&r, needy, "", 0, &others[n++]);
        EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
        goto out;
    }
    snprintf(refusal, sizeof(refusal), "%.8s 05000000 08000000 a1ffffffffffffff", needy->said);
    say(&r, needy, refusal, 0, &others[n++]);
    /* The connection goes on. */
    struct line owner = {"03000000 09000000 00000000", NO_FD, "", 0, -1};
    say(&r, &owner, "03000000 05000000 08000000 0000000000000000", 0, &others[n++]);
out:
    backend_rig_close(&r);
    while (n-- > 0) {
        if (others[n] >= 0) {
            close(others[n]);
        }
    }
}

int main(void)
{
    only_with_pages_of_4_kib();
    char *fds = fds_now();
    backend_rig r;
    int others[G_N_ELEMENTS(transcript)];
    open_rig(&r);
    for (size_t i = 0; i < G_N_ELEMENTS(transcript); i++) {
        say(&r, &transcript[i], transcript[i].replied, transcript[i].reply_fds, &others[i]);
        if (i == 6) {
            regions_are_told(&r);
        }
    }
    EQ(r.events[VHUSHMEM_BACKEND_RESET], 2); /* SET_STATUS 0 is a reset too */
    EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    backend_rig_close(&r);
    for (size_t i = 0; i < G_N_ELEMENTS(transcript); i++) {
        if (others[i] >= 0) {
            close(others[i]);
        }
        if (transcript[i].needs >= 0) {
            is_refused_without(&transcript[i]);
        }
    }
    same(fds, fds_now());
    return 0;
}
