/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end says anything in any order, and a driver writes anything into its rings. The back-end answers, or ends the
 * connection and takes the next. Meanwhile its device does anything that it may. Nothing crashes, hangs or leaks.
 */
#include "bare-queue.h"
#include "random.h"

static uint64_t state;
static bare_queue b;
static vhushmem_chain *held[8];
static uint64_t taken, given_back, refusals, connections;

static uint64_t below(uint64_t limit) { return random_below(&state, limit); }

/* ---- the device ---- */

/* Takes several chains, gives some of them back, keeps those for which there is a place, and frees the others. */
static void burst(unsigned queue)
{
    vhushmem_chain *chains[8];
    uint32_t written[8];
    const uint8_t bytes[64] = {1};
    int count = vhushmem_backend_pop_many(b.r.backend, queue, chains, below(9), NULL);
    if (count <= 0) {
        return;
    }
    taken += (uint64_t)count;
    for (int i = 0; i < count; i++) {
        written[i] = (uint32_t)vhushmem_chain_write(chains[i], 0, bytes, 64);
    }
    int done = vhushmem_backend_push_many(b.r.backend, queue, chains, written, below((uint64_t)count + 1), NULL);
    given_back += (uint64_t)(done > 0 ? done : 0);
    for (int i = done > 0 ? done : 0; i < count; i++) {
        vhushmem_chain **slot = &held[below(8)];
        if (*slot == NULL) {
            *slot = chains[i];
        } else {
            vhushmem_chain_free(chains[i]);
        }
    }
}

static int give_back(unsigned queue, vhushmem_chain *chain)
{
    uint64_t room = vhushmem_chain_writable_size(chain);
    uint32_t written = (uint32_t)(room > 64 ? 64 : room);
    if (below(2) == 0) {
        return vhushmem_backend_push(b.r.backend, chain, written, NULL);
    }
    return vhushmem_backend_push_many(b.r.backend, queue, &chain, &written, 1, NULL) == 1 ? 0 : -1;
}

static void act(unsigned queue)
{
    vhushmem_chain **slot = &held[below(8)];
    uint8_t bytes[64] = {0};
    size_t count = 0;
    if (*slot == NULL && below(2) == 0) {
        *slot = vhushmem_backend_pop(b.r.backend, queue, NULL);
        taken += *slot != NULL;
    } else if (*slot == NULL) {
        burst(queue);
    }
    if (*slot != NULL && below(2) == 0) {
        const struct iovec *pieces = vhushmem_chain_writable(*slot, &count);
        CHECK((pieces != NULL || count == 0) && vhushmem_chain_read(*slot, below(128), bytes, 64) <= 64);
        vhushmem_chain_write(*slot, below(128), bytes, 64);
        int done = below(4) == 0 ? vhushmem_backend_put_back(b.r.backend, *slot, NULL) : give_back(queue, *slot);
        if (done == 0) {
            given_back++;
            *slot = NULL;
        } else if (below(2) == 0) {
            vhushmem_chain_free(*slot);
            *slot = NULL;
        }
    }
    vhushmem_backend_notify(b.r.backend, queue, NULL);
    if (below(4) == 0) {
        vhushmem_backend_set_kicks(b.r.backend, queue, below(2), NULL);
    }
    if (below(64) == 0) {
        vhushmem_backend_break_queue(b.r.backend, queue, NULL);
    }
    uint8_t *memory = vhushmem_backend_guest_memory(b.r.backend, RAM + below(RAM_SIZE), 1 + below(RAM_SIZE));
    CHECK(memory == NULL || *memory == *memory);
    vhushmem_backend_user_memory(b.r.backend, below(2) ? USER + below(RAM_SIZE) : random_next(&state), below(RAM_SIZE));
    vhushmem_backend_dispatch(b.r.backend); /* a nested dispatch must do nothing */
}

static void on_event(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    (void)backend;
    (void)message;
    (void)event;
    (void)user_data;
    for (uint64_t n = below(4); n > 0; n--) {
        act(queue);
    }
}

static int get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)backend;
    (void)user_data;
    CHECK(offset <= 64 && len <= 64 - offset);
    memset(buf, 1, len);
    return below(4) == 0 ? -EIO : 0;
}

static int set_config(vhushmem_backend *backend, uint32_t offset, const void *buf, uint32_t len, unsigned flags,
                      void *user_data)
{
    (void)buf;
    (void)backend;
    (void)user_data;
    CHECK(offset <= 64 && len <= 64 - offset && flags <= 1);
    act((unsigned)below(2));
    return below(4) == 0 ? INT32_MIN : 0;
}

static int set_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    (void)backend;
    (void)status;
    (void)user_data;
    act((unsigned)below(2));
    return below(4) == 0 ? -1 : 0;
}

static int get_shared_object(vhushmem_backend *backend, const uint8_t *uuid, void *user_data)
{
    (void)backend;
    (void)user_data;
    return uuid[0] < 128 ? dup(b.ram_fd) : -ENOENT;
}

static int transfer_state(vhushmem_backend *backend, int direction, int fd, void *user_data)
{
    (void)backend;
    (void)user_data;
    CHECK(direction == 0 || direction == 1);
    close(fd);
    return (int)below(2) - 1;
}

static int check_state(vhushmem_backend *backend, void *user_data)
{
    (void)backend;
    (void)user_data;
    return (int)below(2) - 1;
}

/* ---- the driver ---- */

static void scribble(void)
{
    uint16_t *avail = (uint16_t *)(b.ram + AVAIL);
    if (below(8) == 0) {
        avail[below(20)] = (uint16_t)random_next(&state);
    }
    for (uint64_t n = below(8); n > 0; n--) {
        const uint64_t places[] = {RAM + BUFFERS,      RAM + TABLE,        RAM + DESC,
                                   RAM + RAM_SIZE - 8, RAM + 2 * RAM_SIZE, UINT64_MAX - 8};
        const uint32_t sizes[] = {0, 1, 16, 32, 64, 4096, UINT32_MAX};
        struct {
            uint64_t addr;
            uint32_t len;
            uint16_t flags, next;
        } d = {places[below(below(4) == 0 ? 6 : 3)], sizes[below(below(4) == 0 ? 7 : 5)],
               (uint16_t)below(below(8) == 0 ? 65536 : 4), (uint16_t)below(below(8) == 0 ? 65536 : 16)};
        if (below(4) == 0) {
            d.flags |= INDIRECT;
        }
        memcpy(b.ram + (below(2) ? DESC : TABLE) + 16 * below(16), &d, 16);
    }
    avail[2 + avail[1] % 16] = (uint16_t)below(below(16) == 0 ? 65536 : 16);
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + below(3)), __ATOMIC_RELEASE);
    if (below(2) == 0) {
        CHECK(write(b.kick, &(uint64_t){1}, 8) == 8);
    }
}

/* ---- the front-end ---- */

static int others[2];

static int some_fd(uint32_t request)
{
    if (below(16) == 0) {
        const int fds[] = {b.ram_fd, b.kick, b.call, others[0], -1};
        return fds[below(5)];
    }
    switch (request) {
    case ADD_MEM_REG:
    case SET_MEM_TABLE:
    case SET_INFLIGHT_FD:
    case SET_DEVICE_STATE_FD:
        return b.ram_fd;
    case SET_VRING_KICK:
        return b.kick;
    case SET_VRING_CALL:
    case SET_VRING_ERR:
        return b.call;
    case SET_BACKEND_REQ_FD:
        return others[0];
    default:
        return -1;
    }
}

static uint64_t some_queue(void) { return below(8) == 0; }

/* The payload makes sense as a rule, but any word of it may be anything. */
static uint32_t some_payload(uint32_t request, uint64_t words[8])
{
    uint32_t size = 8;
    memset(words, 0, 64);
    switch (request) {
    case GET_FEATURES:
    case SET_OWNER:
    case 4: /* RESET_OWNER */
    case GET_PROTOCOL_FEATURES:
    case GET_QUEUE_NUM:
    case SET_BACKEND_REQ_FD:
    case RESET_DEVICE:
    case GET_MAX_MEM_SLOTS:
    case GET_STATUS:
    case CHECK_DEVICE_STATE:
    case GET_SHMEM_CONFIG:
        size = 0;
        break;
    case SET_FEATURES:
        words[0] = VIRTIO_DEFAULTS | below(4) << 28;
        break;
    case SET_PROTOCOL_FEATURES:
        words[0] = BARE_FEATURES | BIT(9) | BIT(18) | BIT(19);
        break;
    case SET_MEM_TABLE:
        words[0] = 1;
        words[1] = RAM;
        words[2] = RAM_SIZE;
        words[3] = USER;
        size = 40;
        break;
    case ADD_MEM_REG:
    case REM_MEM_REG:
        words[1] = RAM;
        words[2] = RAM_SIZE;
        words[3] = USER;
        size = 40;
        break;
    case SET_VRING_NUM:
        words[0] = some_queue() | 16ull << 32;
        break;
    case SET_VRING_ADDR:
        words[0] = some_queue();
        words[1] = USER + DESC;
        words[2] = USER + USED;
        words[3] = USER + AVAIL;
        size = 40;
        break;
    case SET_VRING_ENABLE:
        words[0] = some_queue() | (uint64_t)(below(4) != 0) << 32;
        break;
    case GET_CONFIG:
    case SET_CONFIG:
        words[0] = below(32) | 20ull << 32;
        size = 32;
        break;
    case GET_INFLIGHT_FD:
    case SET_INFLIGHT_FD:
        words[0] = 1024;
        words[1] = BUFFERS;
        words[2] = 2 | 16 << 16;
        size = 24;
        break;
    case 41:
        words[0] = random_next(&state);
        size = 16;
        break;
    default:
        words[0] = some_queue();
    }
    if (below(16) == 0) {
        words[below(8)] = below(2) ? random_next(&state) : UINT64_MAX - below(3);
    }
    return below(64) == 0 ? (uint32_t)below(65) : size;
}

static void connect_again(void)
{
    int pair[2];
    connections++;
    if (b.r.main >= 0) {
        close(b.r.main);
    }
    b.r.events[VHUSHMEM_BACKEND_DISCONNECT] = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    b.r.main = pair[0];
    ok(vhushmem_backend_attach(b.r.backend, pair[1], &error));
}

static void say(uint32_t request, uint32_t flags)
{
    uint64_t words[8];
    uint32_t size = some_payload(request, words);
    int fd = some_fd(request);
    try_send_message(b.r.main, request, flags, words, size, &fd, fd >= 0 ? 1 : 0);
}

/* Most lives begin like this. The test ignores the results. */
static void begin(void)
{
    static const uint32_t start[] = {SET_PROTOCOL_FEATURES, SET_FEATURES,   ADD_MEM_REG,    SET_VRING_NUM,   SET_VRING_BASE,
                                     SET_VRING_ADDR,        SET_VRING_CALL, SET_VRING_KICK, SET_VRING_ENABLE};
    memset(b.ram, 0, TABLE);
    for (size_t i = 0; i < sizeof(start) / sizeof(*start); i++) {
        say(start[i], 0x9);
    }
}

static void step(void)
{
    if (b.r.events[VHUSHMEM_BACKEND_DISCONNECT] > 0) {
        connect_again();
        begin();
    }
    scribble();
    say((uint32_t)below(46), below(8) == 0 ? 0x1 : 0x9);
    pump_backend(b.r.backend);
    /* The test reads the answers; otherwise the back-end would stop. */
    uint8_t bytes[4096] = {0};
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control;
    for (;;) {
        struct iovec iov = {bytes, sizeof(bytes)};
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        if (recvmsg(b.r.main, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) {
            break;
        }
        refusals += bytes[19] == 0xff;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
            close(fd);
        }
    }
    pump_backend(b.r.backend);
}

int main(void)
{
    state = random_seed();
    char *fds = fds_now(), *maps = maps_now();
    vhushmem_backend_options options = {
        .struct_size = sizeof(options), .num_queues = 2, .features = BIT(28) | BIT(29), .config_size = 64};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                          .queue = on_event,
                                          .get_config = get_config,
                                          .set_config = set_config,
                                          .set_status = set_status,
                                          .get_shared_object = get_shared_object,
                                          .transfer_state = transfer_state,
                                          .check_state = check_state};
    bare_queue_init(&b);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, others) == 0);
    b.r.main = -1;
    b.r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b.r.backend, backend_rig_event, &b.r, NULL));
    ok(vhushmem_backend_set_handlers(b.r.backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_add_region(b.r.backend, 0, 16 * PAGE, &error));
    connect_again();
    begin();
    for (int n = many_steps(30000); n > 0; n--) {
        step();
    }
    printf("note: %" PRIu64 " connections, %" PRIu64 " chains taken, %" PRIu64 " given or put back, %" PRIu64 " refusals\n",
           connections, taken, given_back, refusals);
    if (steps(100) == 100) {
        CHECK(connections > 10 && given_back > 100 && refusals > 100);
    }
    for (int i = 0; i < 8; i++) {
        vhushmem_chain_free(held[i]);
    }
    vhushmem_backend_free(b.r.backend);
    close(b.r.main);
    close(others[0]);
    close(others[1]);
    bare_queue_close(&b);
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
