/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If a chain's buffer lies where the back-end knows no memory, the chain goes back unserved and the queue goes on: a guest
 * may use a mapped file as a buffer. After the front-end has told of it, the buffer is found there. Read-only memory is not
 * written to. Memory that the device itself mapped read-only may be read, and holds no rings.
 */
#include "bare-queue.h"

#define WINDOW 0x100000000ull /* where the guest has the region */
#define WINDOW_USER 0x7e0000000000ull

static bare_queue b;
static int taken, calls;
static char last[64];

static void serve(bare_queue *q, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(q->r.backend, 0, NULL)) != NULL) {
        taken++;
        memset(last, 0, sizeof(last));
        vhushmem_chain_read(chain, 0, last, sizeof(last) - 1);
        EQ(vhushmem_backend_push(q->r.backend, chain, (uint32_t)vhushmem_chain_write(chain, 0, "answer", 6), NULL), 0);
        vhushmem_backend_notify(q->r.backend, 0, NULL);
    }
}

static void was_called(void)
{
    uint64_t count;
    CHECK(read(b.call, &count, 8) == 8);
    calls++;
}

/* Returns the length of the next used entry. The chain's head is 0. */
static uint32_t given_back(void)
{
    uint16_t *index = (uint16_t *)(b.ram + USED) + 1;
    uint32_t *entry = (uint32_t *)(b.ram + USED + 4 + 8 * (b.used_idx % b.size));
    pump_backend(b.r.backend);
    b.used_idx++;
    EQ(*index, b.used_idx);
    EQ(entry[0], 0);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    was_called();
    return entry[1];
}

static uint32_t run(void)
{
    offer(&b, 0);
    kick(&b);
    return given_back();
}

static void read_from(uint64_t addr, uint32_t len)
{
    set_descriptor_at(&b, 0, addr, len, NEXT, 1);
    set_descriptor(&b, 1, BUFFERS + 0x100, 16, WRITE, 0);
}

static void write_to(uint64_t addr, uint32_t len)
{
    set_descriptor(&b, 0, BUFFERS, 4, NEXT, 1);
    set_descriptor_at(&b, 1, addr, len, WRITE, 0);
}

static void ok_again(void)
{
    int before = taken;
    memcpy(b.ram + BUFFERS, "plain", 5);
    read_from(RAM + BUFFERS, 5);
    EQ(run(), 6);
    EQ(taken, before + 1);
    CHECK(strcmp(last, "plain") == 0);
    CHECK(memcmp(b.ram + BUFFERS + 0x100, "answer", 6) == 0);
}

static void on_result(vhushmem_backend *backend, int result, const char *text, void *user_data)
{
    (void)backend;
    (void)text;
    *(int *)user_data = result;
}

static void map_read_only(int file)
{
    message m;
    const uint64_t done = 0;
    int result = 1;
    ok(vhushmem_backend_map_async(b.r.backend, 0, file, 0, 0, PAGE, 0, on_result, &result, NULL, &error));
    EQ(receive(b.r.channel, &m, PATIENCE_MS), 1);
    close(m.fds[0]);
    send_message(b.r.channel, MAP, 0x5, &done, 8, NULL, 0);
    pump_backend(b.r.backend);
    EQ(result, 0);
}

int main(void)
{
    int file = memfd_create("short", MFD_CLOEXEC), only_read;
    char path[64];
    CHECK(file >= 0 && pwrite(file, "from the window", 15, 0) == 15 && ftruncate(file, 0x5e6) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    CHECK((only_read = open(path, O_RDONLY | O_CLOEXEC)) >= 0);
    on_queue = serve;
    bare_queue_open(&b, 0);
    ok_again();

    /* Unknown memory: the chain goes back with no bytes written, alone, and the device has not seen it. */
    int before = taken;
    read_from(WINDOW, 15);
    EQ(run(), 0);
    write_to(WINDOW + 0x123, 15);
    EQ(run(), 0);
    EQ(taken, before);
    ok_again();

    /* Several at once; one of them is good. */
    write_to(WINDOW, PAGE);
    for (int i = 0; i < 5; i++) {
        offer(&b, 0);
    }
    kick(&b);
    pump_backend(b.r.backend);
    b.used_idx += 5;
    EQ(((uint16_t *)(b.ram + USED))[1], b.used_idx);
    was_called();
    ok_again();

    /* Known memory: the buffer is found, and also the rest of its last page, which its file lacks. */
    EQ(tell_region(&b, ADD_MEM_REG, WINDOW, PAGE, WINDOW_USER, 0, file), 0);
    read_from(WINDOW, 15);
    EQ(run(), 6);
    CHECK(strcmp(last, "from the window") == 0);
    read_from(WINDOW + PAGE - 20, 20);
    EQ(run(), 6);
    EQ(tell_region(&b, ADD_MEM_REG, WINDOW + PAGE, PAGE, WINDOW_USER + PAGE, PAGE, file), -EOVERFLOW);
    write_to(WINDOW + 0x20, 6);
    EQ(run(), 6);
    char seen[6];
    CHECK(pread(file, seen, 6, 0x20) == 6 && memcmp(seen, "answer", 6) == 0);
    EQ(tell_region(&b, REM_MEM_REG, WINDOW, PAGE, WINDOW_USER, 0, -1), 0);

    /* Read-only: accepted for memory that the device itself mapped, and never written. */
    EQ(tell_region(&b, ADD_MEM_REG, WINDOW, PAGE, WINDOW_USER, 0, only_read), -EACCES);
    map_read_only(file);
    EQ(tell_region(&b, ADD_MEM_REG, WINDOW, PAGE, WINDOW_USER, 0, only_read), 0);
    read_from(WINDOW, 15);
    EQ(run(), 6);
    CHECK(strcmp(last, "from the window") == 0);
    before = taken;
    write_to(WINDOW, 6);
    EQ(run(), 0);
    EQ(taken, before);
    CHECK(pread(file, seen, 6, 0) == 6 && memcmp(seen, "from t", 6) == 0);
    /* The same for a burst, whose last buffer was in the same range. */
    set_descriptor_at(&b, 0, WINDOW, 15, 0, 0);
    EQ(run(), 0);
    CHECK(strcmp(last, "from the window") == 0);
    set_descriptor_at(&b, 0, WINDOW, 6, WRITE, 0);
    offer(&b, 0);
    vhushmem_chain *chain;
    EQ(vhushmem_backend_pop_many(b.r.backend, 0, &chain, 1, &error), 0);
    EQ(given_back(), 0);
    CHECK(vhushmem_backend_guest_memory(b.r.backend, WINDOW, 1) == NULL);
    CHECK(vhushmem_backend_user_memory(b.r.backend, WINDOW_USER, 1) == NULL);
    EQ(tell_vring(&b, SET_VRING_NUM, 1, 16), 0);
    EQ(tell_rings(&b, 1, 0, WINDOW_USER, WINDOW_USER + 0x200, WINDOW_USER + 0x300), -EINVAL);
    ok_again();

    /* Across the edge of known memory: that is nonsense, and breaks the queue. */
    read_from(RAM + RAM_SIZE - 1, 2);
    offer(&b, 0);
    kick(&b);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    CHECK(calls > 10);
    close(file);
    close(only_read);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
