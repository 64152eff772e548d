/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end finds guest memory by the guest's addresses and by the front-end's, and refuses impossible ranges. */
#include "bare-queue.h"

static void *guest(bare_queue *b, uint64_t addr, uint64_t len)
{
    return vhushmem_backend_guest_memory(b->r.backend, addr, len);
}

static void *user(bare_queue *b, uint64_t addr, uint64_t len) { return vhushmem_backend_user_memory(b->r.backend, addr, len); }

static void has(const void *address, uint64_t seed, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, some(address), sizeof(word));
    EQ(word, pattern(seed, offset));
}

static void one_by_one(void)
{
    bare_queue b;
    int first = memfd_of(8 * PAGE, 1), second = memfd_of(8 * PAGE, 2), closed_to_writes = read_only(first), pipe_fds[2];
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    CHECK(guest(&b, RAM, 1) == NULL && guest(&b, 0, 0) == NULL && user(&b, 0, 1) == NULL);
    EQ(tell_region(&b, ADD_MEM_REG, RAM, 4 * PAGE, USER, 2 * PAGE, first), 0);
    EQ(tell_region(&b, ADD_MEM_REG, RAM + 4 * PAGE, 4 * PAGE, USER + 64 * PAGE, 8, second), 0); /* any offset is accepted */
    has(guest(&b, RAM, 4 * PAGE), 1, 2 * PAGE);
    has(guest(&b, RAM + 4 * PAGE - 8, 8), 1, 6 * PAGE - 8);
    has(guest(&b, RAM + 4 * PAGE, 4 * PAGE), 2, 8);
    has(user(&b, USER + 8, 8), 1, 2 * PAGE + 8);
    has(user(&b, USER + 68 * PAGE - 16, 16), 2, 4 * PAGE - 8);
    CHECK(guest(&b, RAM, 0) != NULL);
    /* Next to it, after it, across the border of two ranges, around the end of the address space. */
    CHECK(guest(&b, RAM - 1, 1) == NULL && guest(&b, RAM + 8 * PAGE, 1) == NULL && guest(&b, RAM, 4 * PAGE + 1) == NULL);
    CHECK(guest(&b, RAM + 8, UINT64_MAX) == NULL && guest(&b, UINT64_MAX, 1) == NULL);
    CHECK(user(&b, USER - 1, 1) == NULL && user(&b, USER + 4 * PAGE, 1) == NULL && user(&b, USER, 4 * PAGE + 1) == NULL);
    CHECK(user(&b, USER + 8, UINT64_MAX) == NULL);

    char *maps = maps_now(), *fds = fds_now();
    EQ(tell_region(&b, ADD_MEM_REG, RAM + 7 * PAGE, PAGE, USER, 0, first), -EEXIST);
    EQ(tell_region(&b, ADD_MEM_REG, 0, RAM + 1, USER, 0, first), -EOVERFLOW);
    EQ(tell_region(&b, ADD_MEM_REG, RAM - PAGE, 2 * PAGE, USER, 0, first), -EEXIST);
    EQ(tell_region(&b, ADD_MEM_REG, 0, 0, USER, 0, first), -EINVAL);
    EQ(tell_region(&b, ADD_MEM_REG, UINT64_MAX - PAGE + 2, PAGE, USER, 0, first), -EINVAL);
    EQ(tell_region(&b, ADD_MEM_REG, 0, PAGE, UINT64_MAX - PAGE + 2, 0, first), -EINVAL);
    EQ(tell_region(&b, ADD_MEM_REG, 0, PAGE, USER, UINT64_MAX, first), -EINVAL);
    EQ(tell_region(&b, ADD_MEM_REG, 0, 8 * PAGE, USER, 1, first), -EOVERFLOW);
    EQ(tell_region(&b, ADD_MEM_REG, 0, PAGE, USER, 0, closed_to_writes), -EACCES);
    CHECK(tell_region(&b, ADD_MEM_REG, 0, PAGE, USER, 0, pipe_fds[0]) < 0);
    EQ(tell_region(&b, REM_MEM_REG, RAM, 3 * PAGE, USER, 2 * PAGE, -1), -ENOENT);
    EQ(tell_region(&b, REM_MEM_REG, RAM, 4 * PAGE, USER + 1, 2 * PAGE, -1), -ENOENT);
    EQ(tell_region(&b, REM_MEM_REG, RAM + 8 * PAGE, PAGE, USER, 0, -1), -ENOENT);
    same(maps, maps_now());
    same(fds, fds_now());

    /* Some front-ends send a descriptor with it. */
    EQ(tell_region(&b, REM_MEM_REG, RAM, 4 * PAGE, USER, 0, first), 0);
    CHECK(guest(&b, RAM, 1) == NULL);
    has(guest(&b, RAM + 4 * PAGE, 8), 2, 8);
    EQ(tell_region(&b, REM_MEM_REG, RAM, 4 * PAGE, USER, 0, -1), -ENOENT);

    /* As many ranges as the back-end has slots, and not one more. */
    uint64_t slots = backend_rig_get(&b.r, GET_MAX_MEM_SLOTS);
    for (uint64_t i = 1; i < slots; i++) {
        EQ(tell_region(&b, ADD_MEM_REG, 2 * RAM + (slots - i) * 2 * PAGE, PAGE, USER, 0, first), 0);
    }
    EQ(tell_region(&b, ADD_MEM_REG, 0, PAGE, USER, 0, first), -ENOSPC);
    for (uint64_t i = 1; i < slots; i++) {
        uint64_t addr = 2 * RAM + (slots - i) * 2 * PAGE;
        CHECK(guest(&b, addr - 1, 1) == NULL && guest(&b, addr + PAGE, 1) == NULL);
        has(guest(&b, addr, PAGE), 1, 0);
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(first);
    close(second);
    close(closed_to_writes);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

typedef struct table {
    uint32_t count, padding;
    uint64_t regions[8][4];
} table;

static void send_table(bare_queue *b, const table *t, uint32_t size, const int *fds, int nfds)
{
    send_message(b->r.main, SET_MEM_TABLE, 0x9, t, size, fds, nfds);
    pump_backend(b->r.backend);
}

static int answer(bare_queue *b)
{
    message m;
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    return (int)(int64_t)u64_of(&m);
}

static void as_a_table(void)
{
    bare_queue b;
    int fds[9];
    table t = {.count = 8};
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    for (unsigned i = 0; i < 9; i++) {
        fds[i] = memfd_of(PAGE, i);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t region[4] = {(8 - i) * RAM, PAGE, USER + i * PAGE, 0};
        memcpy(t.regions[i], region, sizeof(region));
    }
    send_table(&b, &t, 8 + 8 * 32, fds, 8);
    EQ(answer(&b), 0);
    for (unsigned i = 0; i < 8; i++) {
        has(guest(&b, (8 - i) * RAM, PAGE), i, 0);
    }
    CHECK(guest(&b, RAM + PAGE, 1) == NULL); /* the earlier memory is gone */

    /* A refused table changes nothing. */
    t.regions[7][0] = 8 * RAM;
    send_table(&b, &t, 8 + 8 * 32, fds, 8);
    EQ(answer(&b), -EEXIST);
    has(guest(&b, RAM, PAGE), 7, 0);
    t.count = 0;
    send_table(&b, &t, 8, NULL, 0);
    EQ(answer(&b), 0);
    CHECK(guest(&b, RAM, 1) == NULL);
    backend_rig_close(&b.r);

    /* Nonsense ends the connection. */
    const struct {
        uint32_t count, size;
        int nfds;
    } odd[] = {{1, 8 + 32, 0},     {1, 8 + 32, 2}, {2, 8 + 32, 2}, {1, 8 + 64, 1}, {9, 8 + 9 * 32, 8},
               {UINT32_MAX, 8, 0}, {0, 7, 0},      {0, 0, 0},      {1, 8 + 31, 1}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        uint8_t bytes[8 + 9 * 32] = {0};
        memcpy(bytes, &t, sizeof(t));
        memcpy(bytes, &odd[i].count, 4);
        bare_queue_connect(&b, BARE_FEATURES);
        send_table(&b, (const table *)bytes, odd[i].size, fds, odd[i].nfds);
        EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
        backend_rig_close(&b.r);
    }
    bare_queue_close(&b);
    for (unsigned i = 0; i < 9; i++) {
        close(fds[i]);
    }
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    one_by_one();
    as_a_table();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
