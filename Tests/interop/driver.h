/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_INTEROP_DRIVER_H
#define VHUSHMEM_INTEROP_DRIVER_H

/* The base of driver.c: guest memory, rings, and a loop that reads lines. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

enum { MAX_QUEUES = 8, RING_SIZE = 64, MAX_WORDS = 40, MAX_LINE = 1 << 17 };

#define RAM_AT UINT64_C(0x40000000)
#define BUFFER UINT64_C(0x8000)       /* of each descriptor */
#define RING_ROOM UINT64_C(0x4000)    /* of each ring */
#define BUFFERS_AT UINT64_C(0x100000) /* in guest memory */
#define RAM_SIZE (UINT64_C(32) << 20)

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct ring {
    struct descriptor *desc;
    uint16_t *avail; /* flags, index, entries */
    uint16_t *used;  /* flags, index, then pairs of uint32_t */
    int kick, call;
    /* the next index of the available ring; how many of the used ring were told */
    uint16_t next, seen;
    bool is_taken[RING_SIZE];
};

struct vm {
    vhushmem_frontend *frontend;
    uint8_t *ram;
    int ram_fd, gpu;
    unsigned count;
    struct ring rings[MAX_QUEUES];
    bool is_over;
    char line[MAX_LINE];
    size_t filled;
};

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static inline void put_hex(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
}

static inline void say_hex(const char *word, const uint8_t *bytes, size_t size)
{
    printf("%s ", word);
    put_hex(bytes, size);
    say("%s", "");
}

static inline uint64_t number(const char *word) { return strtoull(word, NULL, 0); }

/* Everything from one end goes to the other. */
static inline void pour(int from, int to)
{
    char bytes[4096];
    for (ssize_t count; (count = read(from, bytes, sizeof(bytes))) > 0;) {
        if (write(to, bytes, (size_t)count) != count) {
            return;
        }
    }
}

static inline void ring_clear(struct ring *ring)
{
    memset(ring->desc, 0, RING_ROOM);
    memset(ring->is_taken, 0, sizeof(ring->is_taken));
    ring->next = ring->seen = 0;
}

static inline void vm_init(struct vm *vm, unsigned count)
{
    vm->count = count < MAX_QUEUES ? count : MAX_QUEUES;
    vm->gpu = -1;
    vm->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    if (vm->ram_fd < 0 || ftruncate(vm->ram_fd, RAM_SIZE) < 0) {
        exit(3);
    }
    vm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->ram_fd, 0);
    if (vm->ram == MAP_FAILED) {
        exit(3);
    }
    for (unsigned i = 0; i < vm->count; i++) {
        struct ring *ring = &vm->rings[i];
        uint8_t *at = vm->ram + i * RING_ROOM;
        ring->desc = (struct descriptor *)at;
        ring->avail = (uint16_t *)(at + 0x1000);
        ring->used = (uint16_t *)(at + 0x2000);
        ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ring_clear(ring);
    }
}

static inline uint64_t buffer_of(unsigned queue, unsigned n)
{
    return BUFFERS_AT + (queue * RING_SIZE + n) * BUFFER;
}

static inline int free_descriptor(struct ring *ring)
{
    for (int i = 0; i < RING_SIZE; i++) {
        if (!ring->is_taken[i]) {
            ring->is_taken[i] = true;
            return i;
        }
    }
    return -1;
}

static inline uint32_t fill(uint8_t *at, const char *hex)
{
    uint32_t size = 0;
    unsigned byte;
    while (size < BUFFER && sscanf(hex + 2 * size, "%2x", &byte) == 1) {
        at[size++] = (uint8_t)byte;
    }
    return size;
}

/* Returns the head of a chain of these parts, or -1 if there is no room. */
static inline int ring_put(struct vm *vm, unsigned queue, char **parts)
{
    struct ring *ring = &vm->rings[queue % MAX_QUEUES];
    int head = -1, last = -1;

    for (; *parts != NULL; parts++) {
        bool is_in = strncmp(*parts, "in:", 3) == 0;
        int n = free_descriptor(ring);
        if (n < 0) {
            return -1;
        }
        uint64_t at = buffer_of(queue, (unsigned)n);
        uint32_t size = is_in ? (uint32_t)number(*parts + 3) : fill(vm->ram + at, *parts + 4);
        if (is_in) {
            memset(vm->ram + at, 0xaa, size);
        }
        ring->desc[n] =
            (struct descriptor){.addr = RAM_AT + at, .len = size, .flags = is_in ? 2 : 0};
        if (last >= 0) {
            ring->desc[last].flags |= 1;
            ring->desc[last].next = (uint16_t)n;
        }
        head = head < 0 ? n : head;
        last = n;
    }
    if (head >= 0) {
        ring->avail[2 + ring->next % RING_SIZE] = (uint16_t)head;
        __atomic_store_n(&ring->avail[1], ++ring->next, __ATOMIC_RELEASE);
    }
    return head;
}

/*
 * Reports chains that were given back: `used QUEUE HEAD WRITTEN BYTES`, where BYTES are those of
 * the parts that the device could write.
 */
static inline void ring_tell(struct vm *vm, unsigned queue)
{
    struct ring *ring = &vm->rings[queue];

    while (__atomic_load_n(&ring->used[1], __ATOMIC_ACQUIRE) != ring->seen) {
        const uint32_t *entry = (const uint32_t *)(ring->used + 2) + 2 * (ring->seen++ % RING_SIZE);
        unsigned n = entry[0] % RING_SIZE;
        uint32_t left = entry[1];
        printf("used %u %u %u ", queue, entry[0], entry[1]);
        for (bool more = true; more;) {
            struct descriptor *d = &ring->desc[n];
            if (d->flags & 2) {
                uint32_t size = left < d->len ? left : d->len;
                put_hex(vm->ram + (d->addr - RAM_AT), size);
                left -= size;
            }
            ring->is_taken[n] = false;
            more = d->flags & 1;
            n = d->next % RING_SIZE;
        }
        say("%s", "");
        /* With event indices: the next one must be told as well. The loop looks again
           afterwards. */
        ring->avail[2 + RING_SIZE] = ring->seen;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}

/*
 * The display's side of vhost-user-gpu. It reports each message, a request and its payload's
 * size, and answers each question.
 */
static inline void gpu_tell(struct vm *vm)
{
    enum { GET_PROTOCOL_FEATURES = 1, GET_DISPLAY_INFO = 3, REPLY = 4, DISPLAY_INFO = 0x1101 };
    struct {
        uint32_t request, flags, size;
        /* of a display info: a header of 24 bytes, and 24 for each of 16 displays */
        uint32_t payload[102];
    } __attribute__((packed)) message;
    const size_t header = 12;

    memset(&message, 0, sizeof(message));
    if (recv(vm->gpu, &message, header, MSG_WAITALL) != (ssize_t)header ||
        message.size > sizeof(message.payload) ||
        (message.size > 0 &&
         recv(vm->gpu, message.payload, message.size, MSG_WAITALL) != (ssize_t)message.size)) {
        close(vm->gpu);
        vm->gpu = -1;
        return;
    }
    say("event gpu %u %u", message.request, message.size);
    memset(message.payload, 0, sizeof(message.payload));
    if (message.request == GET_PROTOCOL_FEATURES) {
        message.size = 8;
    } else if (message.request == GET_DISPLAY_INFO) {
        message.size = sizeof(message.payload);
        message.payload[0] = DISPLAY_INFO;
        message.payload[8] = 1024; /* x, y, width, height, enabled, flags */
        message.payload[9] = 768;
        message.payload[10] = 1;
    } else {
        return;
    }
    message.flags = REPLY;
    if (send(vm->gpu, &message, header + message.size, MSG_NOSIGNAL) < 0) {
        say("event gpu-lost %d", errno);
    }
}

static inline void lines_read(struct vm *vm, void (*run_line)(char *line))
{
    ssize_t count = read(STDIN_FILENO, vm->line + vm->filled, sizeof(vm->line) - 1 - vm->filled);
    char *end;

    if (count <= 0) {
        vm->is_over = true;
        return;
    }
    vm->filled += (size_t)count;
    while (!vm->is_over && (end = memchr(vm->line, '\n', vm->filled)) != NULL) {
        *end = '\0';
        run_line(vm->line);
        vm->filled -= (size_t)(end + 1 - vm->line);
        memmove(vm->line, end + 1, vm->filled);
    }
}

/* Waits for any event, and handles it. */
static inline void vm_wait(struct vm *vm, void (*run_line)(char *line))
{
    struct pollfd ready[3 + MAX_QUEUES] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = vhushmem_frontend_get_fd(vm->frontend), .events = POLLIN},
        {.fd = vm->gpu, .events = POLLIN}};
    eventfd_t signals;

    for (unsigned i = 0; i < vm->count; i++) {
        ready[3 + i] = (struct pollfd){.fd = vm->rings[i].call, .events = POLLIN};
    }
    if (poll(ready, 3 + vm->count, -1) < 0) {
        return;
    }
    if (ready[1].revents) {
        vhushmem_frontend_dispatch(vm->frontend);
    }
    if (ready[2].revents) {
        gpu_tell(vm);
    }
    for (unsigned i = 0; i < vm->count; i++) {
        if (ready[3 + i].revents) {
            eventfd_read(vm->rings[i].call, &signals);
            ring_tell(vm, i);
        }
    }
    if (ready[0].revents) {
        lines_read(vm, run_line);
    }
}

#endif
