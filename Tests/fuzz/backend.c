/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Target `backend`: the input is a front-end and a driver for a back-end of the library: messages with their descriptors,
 * guest memory, the content of the rings and of the tables of descriptors, and kicks. It also decides what the device does
 * with the chains that it takes. The back-end answers each request or ends the connection, reads and writes only inside of
 * guest memory, and leaves nothing open or mapped.
 */
#include "backend-device.h"

static int channel; /* the front-end's end of the pair that SET_BACKEND_REQ_FD sends; -1: none was sent */

/* ---- the driver ---- */

static void write_descriptor(void)
{
    const uint64_t places[] = {RAM + BUFFERS, RAM + TABLE, RAM + DESC, RAM + AVAIL, RAM + RAM_SIZE - 8, RAM + 2 * RAM_SIZE};
    uint8_t where = take(in), flags = take(in), next = take(in);
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = {places[where % 6], (uint32_t)take_size(in, 16), flags & 7, next & 15};
    if (flags == 0xff) {
        d.addr = take_word(in, 8);
        d.flags = (uint16_t)take_word(in, 2);
        d.next = (uint16_t)take_word(in, 2);
    }
    memcpy(b.ram + (where & 128 ? TABLE : DESC) + 16 * (where >> 3 & 15), &d, sizeof(d));
}

static void make_available(void)
{
    uint16_t *avail = (uint16_t *)(b.ram + AVAIL);
    uint8_t head = take(in);
    avail[2 + avail[1] % 16] = head >= 240 ? (uint16_t)take_word(in, 2) : head & 15;
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + (head >= 250 ? take(in) : 1)), __ATOMIC_RELEASE);
}

static void ring(void)
{
    uint64_t one = 1;
    CHECK(write(b.kick, &one, 8) == 8);
    pump_backend(b.r.backend);
}

/* ---- the front-end ---- */

/* The usual payload of a request of this kind. Returns the size. */
static uint32_t usual_payload(uint32_t request, uint64_t words[8], int *fd)
{
    memset(words, 0, 64);
    switch (request) {
    case SET_FEATURES:
        words[0] = VIRTIO_DEFAULTS | (uint64_t)below(in, 4) << 28;
        return 8;
    case SET_PROTOCOL_FEATURES:
        words[0] = BARE_FEATURES | BIT(9) | BIT(18) | BIT(19);
        return 8;
    case SET_MEM_TABLE:
        *fd = b.ram_fd;
        memcpy(words, (uint64_t[]){1, RAM, RAM_SIZE, USER}, 32);
        return 40;
    case ADD_MEM_REG:
        *fd = b.ram_fd;
        __attribute__((fallthrough));
    case REM_MEM_REG:
        memcpy(words + 1, (uint64_t[]){RAM, RAM_SIZE, USER}, 24);
        return 40;
    case SET_VRING_NUM:
    case SET_VRING_ENABLE:
        words[0] = (request == SET_VRING_NUM ? 16ull : 1ull) << 32;
        return 8;
    case SET_VRING_ADDR:
        memcpy(words + 1, (uint64_t[]){USER + DESC, USER + USED, USER + AVAIL}, 24);
        return 40;
    case SET_VRING_KICK:
        *fd = b.kick;
        return 8;
    case SET_VRING_CALL:
        *fd = b.call;
        return 8;
    case SET_VRING_ERR:
        *fd = b.err;
        return 8;
    case GET_CONFIG:
    case SET_CONFIG:
        words[0] = below(in, 64) | 20ull << 32;
        return 32;
    case SET_INFLIGHT_FD:
        *fd = b.ram_fd;
        __attribute__((fallthrough));
    case GET_INFLIGHT_FD:
        memcpy(words, (uint64_t[]){1024, BUFFERS, 2 | 16 << 16}, 24);
        return 24;
    case 41: /* GET_SHARED_OBJECT */
        return 16;
    case SET_DEVICE_STATE_FD:
        *fd = files[PIPE].fd;
        return 8;
    case GET_FEATURES:
    case SET_OWNER:
    case 4: /* RESET_OWNER */
    case GET_PROTOCOL_FEATURES:
    case GET_QUEUE_NUM:
    case RESET_DEVICE:
    case GET_MAX_MEM_SLOTS:
    case GET_STATUS:
    case CHECK_DEVICE_STATE:
    case GET_SHMEM_CONFIG:
    case SET_BACKEND_REQ_FD:
        return 0;
    default:
        return 8;
    }
}

static void read_answers(void)
{
    message m;
    while (wait_readable(b.r.main, 0) && receive(b.r.main, &m, 0) > 0) {
        CHECK((m.header.flags & ~VHOST_USER_NEED_REPLY_MASK) == 0x5 && m.header.request != 0);
        for (int i = 0; i < m.fd_count; i++) {
            close(m.fds[i]);
        }
    }
}

/* Any file except a /dev/zero: mapped at an offset, it raises SIGBUS, like a file that is truncated later. */
static int some_file(unsigned kind) { return files[kind % DEV_ZERO].fd; }

static void tell_anything(uint32_t request, uint8_t how)
{
    uint64_t words[8];
    int fds[16], fd = -1, fd_count = 0;
    uint32_t size = usual_payload(request, words, &fd), flags = 0x9;
    fds[0] = fd;
    fd_count = fd >= 0;
    if (request == SET_BACKEND_REQ_FD) {
        int pair[2];
        two_sockets(pair);
        if (channel >= 0) {
            close(channel);
        }
        channel = pair[0];
        try_send_message(b.r.main, request, 0x9, NULL, 0, &pair[1], 1);
        close(pair[1]);
        pump_backend(b.r.backend);
        return;
    }
    switch (how) {
    default:
        break;
    case 128 ... 191: /* one number is changed */
        words[how % 8] = take_size(in, PAGE);
        break;
    case 192 ... 203:
        ((uint32_t *)words)[how % 16] = (uint32_t)take_size(in, 1);
        break;
    case 204 ... 211:
        words[how % 8] += take_size(in, PAGE);
        break;
    case 212 ... 227:
        fds[0] = some_file(how - 212);
        fd_count = 1;
        break;
    case 228 ... 233:
        fd_count = (int)below(in, 17);
        for (int i = 0; i < fd_count; i++) {
            fds[i] = some_file(take(in));
        }
        break;
    case 234 ... 239:
        size = below(in, 65);
        break;
    case 240 ... 245:
        flags = (uint32_t)take_word(in, how & 1 ? 1 : 4);
        break;
    case 246 ... 249:
        flags = 0x1;
        break;
    }
    uint8_t bytes[12 + 64];
    VhostUserHeader header = {request, flags, how == 250 ? (uint32_t)take_word(in, 4) : size};
    memcpy(bytes, &header, 12);
    memcpy(bytes + 12, words, 64);
    uint32_t first = how == 251 ? 1 + below(in, 12 + size) : 12 + size;
    try_send_bytes(b.r.main, bytes, first, fds, fd_count);
    pump_backend(b.r.backend);
    if (first < 12 + size) {
        try_send_bytes(b.r.main, bytes + first, 12 + size - first, NULL, 0);
        pump_backend(b.r.backend);
    }
}

/* Most lives begin like this. The target ignores the results. */
static void begin(void)
{
    static const uint32_t start[] = {SET_PROTOCOL_FEATURES, SET_FEATURES,   ADD_MEM_REG,    SET_VRING_NUM,   SET_VRING_BASE,
                                     SET_VRING_ADDR,        SET_VRING_CALL, SET_VRING_KICK, SET_VRING_ENABLE};
    for (size_t i = 0; i < sizeof(start) / sizeof(*start); i++) {
        tell_anything(start[i], 0);
    }
    read_answers();
}

static void connect_anew(void)
{
    int pair[2];
    if (b.r.main >= 0) {
        close(b.r.main);
    }
    two_sockets(pair);
    b.r.main = pair[0];
    b.r.events[VHUSHMEM_BACKEND_DISCONNECT] = 0;
    ok(vhushmem_backend_attach(b.r.backend, pair[1], &error));
}

static void step(void)
{
    uint8_t operation = take(in);
    switch (operation & 7) {
    case 0 ... 2:
        tell_anything(1 + below(in, 46), take(in));
        break;
    case 3 ... 4:
        write_descriptor();
        break;
    case 5:
        make_available();
        ring();
        break;
    case 6:
        act(operation >> 3 & 1);
        break;
    default: {
        uint16_t at = (uint16_t)take_word(in, 2);
        b.ram[at % BUFFERS] = take(in); /* any byte of the rings and tables */
        ring();
    }
    }
    read_answers();
    pump_backend(b.r.backend);
    if (b.r.events[VHUSHMEM_BACKEND_DISCONNECT] > 0) {
        connect_anew();
        begin();
    }
}

static void backend_open(void)
{
    uint8_t setup = take(in);
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .num_queues = QUEUES,
                                        .features = BIT(28) | BIT(29),
                                        .config_size = setup & 1 ? 0 : 64,
                                        .shmem_bit = setup & 2 ? 20 : 22};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                          .queue = queue_event,
                                          .get_config = get_config,
                                          .set_config = set_config,
                                          .set_status = set_status,
                                          .get_shared_object = get_shared_object,
                                          .transfer_state = transfer_state,
                                          .check_state = check_state};
    uint64_t count;
    memset(&b.r, 0, sizeof(b.r));
    memset(b.ram, 0, RAM_SIZE);
    while (read(b.kick, &count, 8) == 8) {}
    b.r.main = channel = -1;
    b.r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b.r.backend, backend_rig_event, &b.r, NULL));
    ok(vhushmem_backend_set_handlers(b.r.backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_add_region(b.r.backend, 0, 16 * PAGE, &error));
    connect_anew();
    if (setup < 224) {
        begin();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    input bytes = {data, data + size};
    in = &bytes;
    if (!is_ready) {
        files_open();
        bare_queue_init(&b);
        is_ready = true;
    }
    held before = held_now();
    backend_open();
    for (int steps = 0; steps < 80 && !is_over(in); steps++) {
        step();
    }
    for (int i = 0; i < HELD; i++) {
        vhushmem_chain_free(chains[i]);
        chains[i] = NULL;
    }
    vhushmem_backend_free(b.r.backend);
    close(b.r.main);
    if (channel >= 0) {
        close(channel);
    }
    nothing_is_left(before);
    return 0;
}
