/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_VIRTQUEUE_RIG_H
#define VHUSHMEM_TESTS_VIRTQUEUE_RIG_H

/*
 * A back-end of the library in a thread, a front-end in this one, and guest memory in which the
 * test acts as the driver of a split virtqueue.
 */

#include "device-rig.h"
#include "descriptor.h"

#define RAM 0x100000ull /* where the guest has its memory */
#define RAM_SIZE (64 * PAGE)
#define DESC 0x0000
#define AVAIL 0x1000
#define USED 0x2000
#define TABLE 0x3000 /* of indirect descriptors */
#define BUFFERS 0x4000

typedef struct queue_rig {
    vhushmem_backend *backend;
    vhushmem_frontend *frontend;
    uint8_t *ram;
    int ram_fd, kick, call;
    uint16_t size, base, avail_idx, used_idx;
    bool event_idx;
    pthread_t thread;
    bool stop;
    /* Counts of the back-end's thread, read and written atomically. */
    int events[5], backend_events[5];
    char broken[200];
} queue_rig;

static inline int seen(const int *count) { return __atomic_load_n(count, __ATOMIC_ACQUIRE); }

#define WAIT_UNTIL(condition) STEP_UNTIL(condition, usleep(200))

/*
 * The device of most tests: it writes the readable bytes backwards into the writable ones, and then
 * tells the driver.
 */
static inline void echo(queue_rig *q, unsigned queue)
{
    vhushmem_chain *chain;
    static uint8_t in[1 << 17], out[1 << 17];
    GError *e = NULL;
    while ((chain = vhushmem_backend_pop(q->backend, queue, &e)) != NULL) {
        size_t size = vhushmem_chain_read(chain, 0, in, sizeof(in));
        EQ(size, vhushmem_chain_readable_size(chain));
        for (size_t i = 0; i < size; i++) {
            out[i] = in[size - 1 - i];
        }
        size_t written = vhushmem_chain_write(chain, 0, out, size);
        EQ(vhushmem_backend_push(q->backend, chain, (uint32_t)written, NULL), 0);
    }
    CHECK(e == NULL || e->code == EPROTO);
    g_clear_error(&e);
    vhushmem_backend_notify(q->backend, queue, NULL);
}

static void (*on_kick)(queue_rig *q, unsigned queue) = echo;

static inline void queue_rig_event(vhushmem_backend *backend, unsigned queue,
                                   vhushmem_queue_event event, const char *message, void *user_data)
{
    queue_rig *q = user_data;
    CHECK(backend == q->backend && queue == 0);
    CHECK((message != NULL) == (event == VHUSHMEM_QUEUE_BROKEN));
    if (message != NULL) {
        snprintf(q->broken, sizeof(q->broken), "%s", message);
    }
    if (event == VHUSHMEM_QUEUE_KICKED) {
        on_kick(q, queue);
    }
    __atomic_add_fetch(&q->events[event], 1, __ATOMIC_RELEASE);
}

static inline void queue_rig_backend_event(vhushmem_backend *backend,
                                           const vhushmem_backend_event *event, void *user_data)
{
    queue_rig *q = user_data;
    (void)backend;
    __atomic_add_fetch(&q->backend_events[event->type], 1, __ATOMIC_RELEASE);
}

static inline void *queue_rig_run(void *user_data)
{
    queue_rig *q = user_data;
    int fd = (int)ok(vhushmem_backend_get_fd(q->backend));
    while (!__atomic_load_n(&q->stop, __ATOMIC_ACQUIRE)) {
        if (wait_readable(fd, 5) && vhushmem_backend_dispatch(q->backend) == -ENOTCONN) {
            break;
        }
    }
    return NULL;
}

static inline vhushmem_guest_memory queue_rig_ram(queue_rig *q)
{
    vhushmem_guest_memory m = {.struct_size = sizeof(m),
                               .guest_addr = RAM,
                               .size = RAM_SIZE,
                               .host = q->ram,
                               .fd = q->ram_fd};
    return m;
}

/* Both ends, up to the handshake. `handlers` may be NULL, or have everything except `queue`. */
static inline void queue_rig_open_with(queue_rig *q,
                                       const vhushmem_backend_options *backend_options,
                                       const vhushmem_frontend_options *frontend_options,
                                       const vhushmem_backend_handlers *more)
{
    int pair[2];
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers)};
    memset(q, 0, sizeof(*q));
    if (more != NULL) {
        handlers = *more;
    }
    handlers.queue = queue_rig_event;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    q->ram_fd = memfd_of(RAM_SIZE, 0);
    q->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, q->ram_fd, 0);
    CHECK(q->ram != MAP_FAILED);
    memset(q->ram, 0, RAM_SIZE);
    q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->backend = some(vhushmem_backend_new(backend_options, &error));
    ok(vhushmem_backend_set_callback(q->backend, queue_rig_backend_event, q, NULL));
    ok(vhushmem_backend_set_handlers(q->backend, &handlers, q, NULL, &error));
    ok(vhushmem_backend_add_region(q->backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(q->backend, pair[1], &error));
    CHECK(pthread_create(&q->thread, NULL, queue_rig_run, q) == 0);
    q->frontend = some(vhushmem_frontend_new_fd(pair[0], frontend_options, &error));
    ok(vhushmem_frontend_connect(q->frontend, PATIENCE_MS, &error));
}

/* The queue as the driver sets it up. Everything in it is new. */
static inline void queue_rig_start(queue_rig *q, uint16_t size, uint16_t base, uint64_t features)
{
    vhushmem_guest_memory ram = queue_rig_ram(q);
    vhushmem_queue queue = {.struct_size = sizeof(queue),
                            .size = size,
                            .base = base,
                            .desc = q->ram + DESC,
                            .avail = q->ram + AVAIL,
                            .used = q->ram + USED,
                            .kick_fd = q->kick,
                            .call_fd = q->call};
    memset(q->ram, 0, BUFFERS);
    q->size = size;
    q->base = q->avail_idx = q->used_idx = base;
    q->event_idx = (features & BIT(29)) != 0;
    ((uint16_t *)(q->ram + AVAIL))[1] = ((uint16_t *)(q->ram + USED))[1] = base;
    ok(vhushmem_frontend_set_memory(q->frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(q->frontend, BIT(32) | features, &queue, 1, &error));
}

static inline void queue_rig_open(queue_rig *q, uint64_t features)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options),
                                        .features = BIT(28) | BIT(29)};
    queue_rig_open_with(q, &options, NULL, NULL);
    queue_rig_start(q, 64, 0, features);
}

static inline void queue_rig_close(queue_rig *q)
{
    vhushmem_frontend_free(q->frontend);
    __atomic_store_n(&q->stop, true, __ATOMIC_RELEASE);
    pthread_join(q->thread, NULL);
    vhushmem_backend_free(q->backend);
    munmap(q->ram, RAM_SIZE);
    close(q->ram_fd);
    close(q->kick);
    close(q->call);
}

/* ---- the driver ---- */

static inline void set_descriptor(queue_rig *q, size_t table, unsigned n, uint64_t offset,
                                  uint32_t len, uint16_t flags, uint16_t next)
{
    descriptor d = {RAM + offset, len, flags, next};
    memcpy(q->ram + table + n * sizeof(d), &d, sizeof(d));
}

static inline void kick(queue_rig *q)
{
    uint64_t one = 1;
    CHECK(write(q->kick, &one, 8) == 8);
}

/* Makes a chain available, without a kick. */
static inline void offer(queue_rig *q, uint16_t head)
{
    uint16_t *avail = (uint16_t *)(q->ram + AVAIL);
    avail[2 + q->avail_idx % q->size] = head;
    q->avail_idx++;
    __atomic_store_n(&avail[1], q->avail_idx, __ATOMIC_RELEASE);
}

static inline uint16_t used_index(queue_rig *q)
{
    return __atomic_load_n((uint16_t *)(q->ram + USED) + 1, __ATOMIC_ACQUIRE);
}

/* The head of the next chain that the device has given back, and how much was written. */
static inline uint32_t taken_back(queue_rig *q, uint32_t *written)
{
    WAIT_UNTIL(used_index(q) != q->used_idx);
    uint32_t *entry = (uint32_t *)(q->ram + USED + 4 + 8 * (q->used_idx % q->size));
    q->used_idx++;
    if (written != NULL) {
        *written = entry[1];
    }
    return entry[0];
}

static inline bool was_called(queue_rig *q, int timeout_ms)
{
    uint64_t count;
    return wait_readable(q->call, timeout_ms) && read(q->call, &count, 8) == 8;
}

#endif
