/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_BARE_QUEUE_H
#define VHUSHMEM_TESTS_BARE_QUEUE_H

/*
 * A back-end of the library with guest memory and a queue. The test speaks for front-end and
 * driver in bytes: message by message, in one thread. So front-end, driver and device do exactly
 * what the test wants, in its order.
 */

#include "backend-rig.h"
#include "descriptor.h"

#include <sys/eventfd.h>

#define RAM 0x100000ull
#define USER 0x7f0000000000ull /* the guest address of the front-end's RAM */
#define RAM_SIZE (16 * PAGE)
#define DESC 0x0000
#define AVAIL 0x1000
#define USED 0x2000
#define TABLE 0x3000
#define BUFFERS 0x4000
#define DROPPED 1 /* what `tell` returns when the connection has ended */
/* The features of the rig, with MQ, INFLIGHT, RESET, SLOTS and STATUS. */
#define BARE_FEATURES (BACKEND_RIG_FEATURES | BIT(0) | BIT(12) | BIT(13) | BIT(15) | BIT(16))

typedef struct bare_queue {
    backend_rig r;
    uint8_t *ram;
    int ram_fd, kick, call, err, seen[5];
    uint16_t size, avail_idx, used_idx;
    unsigned queue; /* the one of the last event */
    char broken[200];
} bare_queue;

/* The features that the back-end offers; 0: all that it offers unasked. */
static uint64_t bare_queue_offer;
/* The back-end's flags. */
static uint32_t bare_queue_flags __attribute__((unused));

static void (*on_queue)(bare_queue *b, vhushmem_queue_event event);

static inline void bare_queue_event(vhushmem_backend *backend, unsigned queue,
                                    vhushmem_queue_event event, const char *message,
                                    void *user_data)
{
    bare_queue *b = user_data;
    CHECK(backend == b->r.backend && queue < 2);
    CHECK((message != NULL) == (event == VHUSHMEM_QUEUE_BROKEN));
    snprintf(b->broken, sizeof(b->broken), "%s", message != NULL ? message : "");
    b->seen[event]++;
    b->queue = queue;
    if (on_queue != NULL) {
        on_queue(b, event);
    }
}

/* Called for SET_STATUS if it is set when the back-end is made. */
static void (*on_status)(bare_queue *b) __attribute__((unused));

static inline int bare_queue_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    (void)backend;
    (void)status;
    on_status(user_data);
    return 0;
}

/* Makes the file and the eventfds. They outlive a back-end. */
static inline void bare_queue_init(bare_queue *b)
{
    memset(b, 0, sizeof(*b));
    b->ram_fd = memfd_of(RAM_SIZE, 0);
    b->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, b->ram_fd, 0);
    CHECK(b->ram != MAP_FAILED);
    memset(b->ram, 0, RAM_SIZE);
    b->size = 16;
    b->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/*
 * A back-end with two queues, after the handshake. A test that wants more features sends
 * SET_FEATURES again.
 */
static inline void bare_queue_connect(bare_queue *b, uint64_t protocol_features)
{
    int pair[2];
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .num_queues = 2,
                                        .features = BIT(28) | BIT(29),
                                        .protocol_features = bare_queue_offer,
                                        .flags = bare_queue_flags};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers),
                                          .queue = bare_queue_event,
                                          .set_status =
                                              on_status != NULL ? bare_queue_status : NULL};
    memset(&b->r, 0, sizeof(b->r));
    b->r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    b->r.main = pair[0];
    b->r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b->r.backend, backend_rig_event, &b->r, NULL));
    ok(vhushmem_backend_set_handlers(b->r.backend, &handlers, b, NULL, &error));
    ok(vhushmem_backend_add_region(b->r.backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(b->r.backend, pair[1], &error));
    backend_rig_shake_hands(&b->r, protocol_features);
}

static inline void bare_queue_close(bare_queue *b)
{
    munmap(b->ram, RAM_SIZE);
    close(b->ram_fd);
    close(b->kick);
    close(b->call);
    close(b->err);
}

/* ---- the front-end ---- */

/* Sends a message that is acknowledged. Returns the answer (0 or a negative errno), or DROPPED. */
static inline int tell(bare_queue *b, uint32_t request, const void *payload, uint32_t size, int fd)
{
    message m;
    send_message(b->r.main, request, 0x9, payload, size, &fd, fd >= 0 ? 1 : 0);
    pump_backend(b->r.backend);
    if (b->r.events[VHUSHMEM_BACKEND_DISCONNECT] > 0) {
        return DROPPED;
    }
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.header.size, 8);
    return (int)(int64_t)u64_of(&m);
}

static inline int tell_u64(bare_queue *b, uint32_t request, uint64_t value, int fd)
{
    return tell(b, request, &value, 8, fd);
}

static inline int tell_vring(bare_queue *b, uint32_t request, uint32_t queue, uint32_t number)
{
    uint32_t state[2] = {queue, number};
    return tell(b, request, state, sizeof(state), -1);
}

/* With flag 1, writes to the used ring are logged at USED. */
static inline int tell_rings(bare_queue *b, uint32_t queue, uint32_t flags, uint64_t desc,
                             uint64_t avail, uint64_t used)
{
    struct {
        uint32_t queue, flags;
        uint64_t desc, used, avail, log;
    } addresses = {queue, flags, desc, used, avail, flags != 0 ? RAM + USED : 0};
    return tell(b, SET_VRING_ADDR, &addresses, sizeof(addresses), -1);
}

static inline int tell_region(bare_queue *b, uint32_t request, uint64_t guest, uint64_t size,
                              uint64_t user, uint64_t offset, int fd)
{
    uint64_t region[5] = {0, guest, size, user, offset};
    return tell(b, request, region, sizeof(region), fd);
}

/* Returns where the queue stopped. */
static inline uint16_t stop_queue(bare_queue *b)
{
    uint32_t state[2] = {0, 0};
    message m = backend_rig_ask(&b->r, GET_VRING_BASE, state, sizeof(state), NULL, 0);
    EQ(m.header.size, 8);
    memcpy(state, m.payload, 8);
    EQ(state[0], 0);
    return (uint16_t)state[1];
}

/* Sets queue 0 up as it stands in memory, and enables it. */
static inline void start_queue(bare_queue *b, uint16_t base)
{
    EQ(tell_vring(b, SET_VRING_NUM, 0, b->size), 0);
    EQ(tell_vring(b, SET_VRING_BASE, 0, base), 0);
    EQ(tell_rings(b, 0, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(b, SET_VRING_ERR, 0, b->err), 0);
    EQ(tell_u64(b, SET_VRING_CALL, 0, b->call), 0);
    EQ(tell_u64(b, SET_VRING_KICK, 0, b->kick), 0);
    EQ(tell_vring(b, SET_VRING_ENABLE, 0, 1), 0);
}

static inline void tell_ram(bare_queue *b)
{
    EQ(tell_region(b, ADD_MEM_REG, RAM, RAM_SIZE, USER, 0, b->ram_fd), 0);
}

/* All of the above, with these features of the ring. */
static inline void bare_queue_open(bare_queue *b, uint64_t features)
{
    bare_queue_init(b);
    bare_queue_connect(b, BARE_FEATURES);
    EQ(tell_u64(b, SET_FEATURES, VIRTIO_DEFAULTS | features, -1), 0);
    tell_ram(b);
    start_queue(b, 0);
    CHECK(vhushmem_backend_queue_is_running(b->r.backend, 0));
}

/*
 * Asks for an area for requests in flight of two queues, and returns its file. `area` travels as 24
 * bytes: u64 size, u64 offset, u16 queues, u16 queue size, padding.
 */
static inline int ask_for_inflight(bare_queue *b, uint8_t area[24])
{
    message m;
    uint16_t numbers[2] = {2, b->size};
    memset(area, 0, 24);
    memcpy(area + 16, numbers, sizeof(numbers));
    send_message(b->r.main, GET_INFLIGHT_FD, 0x9, area, 24, NULL, 0);
    pump_backend(b->r.backend);
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.size, 24);
    EQ(m.fd_count, 1);
    memcpy(area, m.payload, 24);
    return m.fds[0];
}

/* The same, mapped. */
static inline uint8_t *map_inflight(bare_queue *b, size_t *size)
{
    uint8_t area[24];
    int file = ask_for_inflight(b, area);
    uint64_t numbers[2];
    memcpy(numbers, area, sizeof(numbers));
    uint8_t *map =
        mmap(NULL, numbers[0], PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)numbers[1]);
    CHECK(map != MAP_FAILED);
    close(file);
    *size = numbers[0];
    return map;
}

/* ---- the driver ---- */

static inline void set_descriptor_at(bare_queue *b, unsigned n, uint64_t addr, uint32_t len,
                                     uint16_t flags, uint16_t next)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = {addr, len, flags, next};
    memcpy(b->ram + DESC + n * sizeof(d), &d, sizeof(d));
}

static inline void set_descriptor(bare_queue *b, unsigned n, uint64_t offset, uint32_t len,
                                  uint16_t flags, uint16_t next)
{
    set_descriptor_at(b, n, RAM + offset, len, flags, next);
}

static inline void offer(bare_queue *b, uint16_t head)
{
    uint16_t *avail = (uint16_t *)(b->ram + AVAIL);
    avail[2 + b->avail_idx % b->size] = head;
    b->avail_idx++;
    __atomic_store_n(&avail[1], b->avail_idx, __ATOMIC_RELEASE);
}

/* Without a turn of the loop. */
static inline void write_kick(bare_queue *b)
{
    uint64_t one = 1;
    CHECK(write(b->kick, &one, 8) == 8);
}

static inline void kick(bare_queue *b)
{
    write_kick(b);
    pump_backend(b->r.backend);
}

/* Whether the next owner of the queue finds its kick signalled. */
static inline bool kick_is_left(const bare_queue *b) { return wait_readable(b->kick, 0); }

/* The next chain that was given back; -1: none. */
static inline int taken_back(bare_queue *b)
{
    if (__atomic_load_n((uint16_t *)(b->ram + USED) + 1, __ATOMIC_ACQUIRE) == b->used_idx) {
        return -1;
    }
    return *(const int *)(b->ram + USED + 4 + 8 * (b->used_idx++ % b->size));
}

static inline bool signalled(int eventfd)
{
    uint64_t count;
    return read(eventfd, &count, 8) == 8;
}

#endif
