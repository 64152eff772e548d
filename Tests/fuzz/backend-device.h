/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_BACKEND_DEVICE_H
#define VHUSHMEM_TESTS_BACKEND_DEVICE_H

/*
 * The device of the target `backend`. The input decides what it does with chains and inside its
 * handlers.
 */

#include "fuzz.h"

#include "bare-queue.h"

#define QUEUES 2
#define HELD 4

static input *in;
static bare_queue b;
static vhushmem_chain *chains[HELD];
/*
 * Each piece can be read, and none goes beyond the end of the memory that it begins in. Returns
 * the sum of their bytes.
 */
static inline size_t pieces_are_guest_memory(const struct iovec *pieces, size_t count)
{
    size_t sum = 0;
    const char *ram = vhushmem_backend_guest_memory(b.r.backend, RAM, RAM_SIZE);
    CHECK(pieces != NULL || count == 0);
    for (size_t i = 0; i < count; i++) {
        const char *first = pieces[i].iov_base, *end = first + pieces[i].iov_len;
        CHECK(pieces[i].iov_len > 0 && readable(first) && readable(end - 1));
        if (ram != NULL && first >= ram && first < ram + RAM_SIZE) {
            CHECK(end <= ram + RAM_SIZE);
        }
        sum += pieces[i].iov_len;
    }
    return sum;
}

static inline void look_at(vhushmem_chain *chain)
{
    uint8_t bytes[64] = {0};
    size_t count = 0;
    const struct iovec *pieces = vhushmem_chain_readable(chain, &count);
    EQ(vhushmem_chain_readable_size(chain), pieces_are_guest_memory(pieces, count));
    pieces = vhushmem_chain_writable(chain, &count);
    EQ(vhushmem_chain_writable_size(chain), pieces_are_guest_memory(pieces, count));
    uint64_t from = take_size(in, 1);
    CHECK(vhushmem_chain_read(chain, from, bytes, sizeof(bytes)) <= sizeof(bytes));
    CHECK(vhushmem_chain_write(chain, from, bytes, sizeof(bytes)) <= sizeof(bytes));
    struct iovec some[3];
    bool writable = (from & 1) != 0;
    uint64_t size =
        writable ? vhushmem_chain_writable_size(chain) : vhushmem_chain_readable_size(chain);
    count = vhushmem_chain_iovec(chain, writable, from, UINT64_MAX, some, 3);
    CHECK(count <= 3 && (count > 0) == (from < size));
    CHECK(pieces_are_guest_memory(some, count) <= size);
}

/* All held chains go back at once, as far as possible, and as many are taken. */
static inline void burst(unsigned queue)
{
    vhushmem_chain *some[HELD];
    uint32_t written[HELD] = {0};
    size_t count = 0;
    for (size_t i = 0; i < HELD; i++) {
        if (chains[i] != NULL) {
            some[count++] = chains[i];
            chains[i] = NULL;
        }
    }
    int done = vhushmem_backend_push_many(b.r.backend, queue, some, written, count, NULL);
    CHECK(done <= (int)count);
    for (size_t i = (size_t)(done < 0 ? 0 : done); i < count; i++) {
        vhushmem_chain_free(some[i]);
    }
    done = vhushmem_backend_pop_many(b.r.backend, queue, chains, HELD, NULL);
    CHECK(done <= HELD);
}

static inline void act(unsigned queue)
{
    uint8_t what = take(in);
    vhushmem_chain **slot = &chains[what % HELD];
    if ((what & 24) == 16) {
        burst(queue);
    }
    if (*slot == NULL) {
        *slot = vhushmem_backend_pop(b.r.backend, queue, &error);
        CHECK(*slot == NULL || error == NULL);
        g_clear_error(&error);
    }
    if (*slot != NULL && what & 4) {
        look_at(*slot);
    }
    if (*slot != NULL && what & 8) {
        uint64_t room = vhushmem_chain_writable_size(*slot);
        int done = what & 16 ? vhushmem_backend_put_back(b.r.backend, *slot, NULL)
                             : vhushmem_backend_push(b.r.backend, *slot,
                                                     (uint32_t)(room > 64 ? 64 : room), NULL);
        if (done == 0) {
            *slot = NULL;
        } else if (what & 32) {
            vhushmem_chain_free(*slot);
            *slot = NULL;
        }
    }
    if (what & 64) {
        vhushmem_backend_notify(b.r.backend, queue, NULL);
        vhushmem_backend_set_kicks(b.r.backend, queue, what & 128, NULL);
    }
    if (what == 0xfc) {
        vhushmem_backend_break_queue(b.r.backend, queue, NULL);
    }
    uint64_t length = take_size(in, 64), guest = RAM + take_size(in, 64);
    const uint8_t *memory = vhushmem_backend_guest_memory(b.r.backend, guest, length);
    CHECK(memory == NULL || length == 0 || (readable(memory) && readable(memory + length - 1)));
    vhushmem_backend_user_memory(b.r.backend, USER + length, guest);
    vhushmem_backend_dispatch(b.r.backend); /* a nested dispatch must do nothing */
}

static inline void queue_event(vhushmem_backend *backend, unsigned queue,
                               vhushmem_queue_event event, const char *message, void *user_data)
{
    (void)user_data;
    CHECK(backend == b.r.backend && queue < QUEUES);
    CHECK((message != NULL) == (event == VHUSHMEM_QUEUE_BROKEN));
    for (uint32_t n = below(in, 3); n > 0; n--) {
        act(queue);
    }
}

static inline int get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len,
                             void *user_data)
{
    (void)backend;
    (void)user_data;
    CHECK(offset <= 64 && len <= 64 - offset);
    memset(buf, 1, len);
    return below(in, 4) == 3 ? -EIO : 0;
}

static inline int set_config(vhushmem_backend *backend, uint32_t offset, const void *buf,
                             uint32_t len, unsigned flags, void *user_data)
{
    (void)backend;
    (void)buf;
    (void)user_data;
    CHECK(offset <= 64 && len <= 64 - offset && flags <= 1);
    act(below(in, QUEUES));
    return below(in, 4) == 3 ? INT32_MIN : 0;
}

static inline int set_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    (void)backend;
    (void)status;
    (void)user_data;
    act(below(in, QUEUES));
    return below(in, 4) == 3 ? -1 : 0;
}

static inline int get_shared_object(vhushmem_backend *backend, const uint8_t *uuid, void *user_data)
{
    (void)backend;
    (void)user_data;
    return uuid[0] < 128 ? dup(b.ram_fd) : -ENOENT;
}

static inline int transfer_state(vhushmem_backend *backend, int direction, int fd, void *user_data)
{
    (void)backend;
    (void)user_data;
    CHECK(direction == 0 || direction == 1);
    close(fd);
    return below(in, 4) == 3 ? -1 : 0;
}

static inline int check_state(vhushmem_backend *backend, void *user_data)
{
    (void)backend;
    (void)user_data;
    return below(in, 4) == 3 ? -1 : 0;
}

#endif
