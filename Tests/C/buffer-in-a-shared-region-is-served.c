/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest hands the device a buffer that lies in the device's own shared memory region. If the region is shared with the
 * back-end, the back-end finds the buffer there, and reads and writes it. A read-only mapping can be read. A request that
 * would write to it fails alone. So does a request that crosses the edge of a mapping, and one where nothing is mapped any
 * more.
 */
/* tsan: yes (a back-end in a thread of its own) */
#include "virtqueue-rig.h"

#define WINDOW 0x100000000ull /* where the guest has the region */

static queue_rig q;
static int file, result;
static bool todo;
static struct {
    bool unmaps;
    uint64_t offset, len, flags;
} asked;

static void on_result(vhushmem_backend *backend, int outcome, const char *text, void *user_data)
{
    (void)backend;
    (void)text;
    (void)user_data;
    __atomic_store_n(&result, outcome, __ATOMIC_RELEASE);
}

/* The device makes the request from its own thread. */
static void ask_or_echo(queue_rig *rig, unsigned queue)
{
    if (!__atomic_exchange_n(&todo, false, __ATOMIC_ACQ_REL)) {
        echo(rig, queue);
    } else if (asked.unmaps) {
        ok(vhushmem_backend_unmap_async(rig->backend, 0, asked.offset, asked.len, on_result, NULL, NULL, NULL));
    } else {
        ok(vhushmem_backend_map_async(rig->backend, 0, file, asked.offset, asked.offset, asked.len, asked.flags, on_result,
                                      NULL, NULL, NULL));
    }
}

static void settle(int64_t shared)
{
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(q.frontend), 0));
    PUMP_UNTIL(q.frontend, vhushmem_frontend_shared_mappings(q.frontend, region, NULL) == shared);
    /* The answer follows the messages that tell of memory. */
    for (int i = 0; i < 4; i++) {
        ok(vhushmem_frontend_get_device_status(q.frontend, &error));
    }
}

static void device(bool unmaps, uint64_t offset, uint64_t len, uint64_t flags, int64_t shared)
{
    asked.unmaps = unmaps;
    asked.offset = offset;
    asked.len = len;
    asked.flags = flags;
    __atomic_store_n(&result, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&todo, true, __ATOMIC_RELEASE);
    kick(&q);
    PUMP_UNTIL(q.frontend, seen(&result) != 1);
    EQ(seen(&result), 0);
    settle(shared);
}

/* A request that reads from one guest address and writes the bytes, backwards, to another. Returns how many bytes were
   written. */
static uint32_t request(uint64_t from, uint64_t to, uint32_t len)
{
    uint32_t written;
    set_descriptor(&q, DESC, 0, from - RAM, len, NEXT, 1);
    set_descriptor(&q, DESC, 1, to - RAM, len, WRITE, 0);
    offer(&q, 0);
    kick(&q);
    EQ(taken_back(&q, &written), 0);
    EQ(seen(&q.events[VHUSHMEM_QUEUE_BROKEN]), 0);
    return written;
}

static bool file_has(uint64_t offset, const char *text)
{
    char bytes[16] = "";
    CHECK(pread(file, bytes, strlen(text), (off_t)offset) == (ssize_t)strlen(text));
    return strcmp(bytes, text) == 0;
}

int main(void)
{
    vhushmem_region_options keeps = {.struct_size = sizeof(keeps), .flags = VHUSHMEM_REGION_KEEP_FDS};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &keeps};
    vhushmem_backend_options backend = {.struct_size = sizeof(backend), .features = BIT(28) | BIT(29)};
    const uint64_t ram = RAM + BUFFERS, written = WINDOW + PAGE, only_read = WINDOW + 4 * PAGE;
    file = memfd_of(16 * PAGE, 0);
    CHECK(pwrite(file, "abcdef", 6, PAGE + 8) == 6 && pwrite(file, "ghijkl", 6, 4 * PAGE) == 6);
    on_kick = ask_or_echo;
    queue_rig_open_with(&q, &backend, &options, NULL);
    queue_rig_start(&q, 64, 0, 0);
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(q.frontend), 0));

    /* Not shared: the request fails alone. */
    device(false, PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, -ENOENT);
    EQ(request(written + 8, ram, 6), 0);
    ok(vhushmem_frontend_share_region(q.frontend, region, WINDOW, 0, &error));
    settle(1);
    EQ(request(written + 8, ram, 6), 6);
    CHECK(memcmp(q.ram + BUFFERS, "fedcba", 6) == 0);
    EQ(request(ram, written + PAGE, 6), 6);
    CHECK(file_has(2 * PAGE, "abcdef"));
    EQ(request(written + 8, written + PAGE - 3, 6), 6);
    CHECK(file_has(2 * PAGE - 3, "fedcba"));

    /* Read-only. */
    device(false, 4 * PAGE, 2 * PAGE, 0, 2);
    EQ(request(only_read, ram, 6), 6);
    CHECK(memcmp(q.ram + BUFFERS, "lkjihg", 6) == 0);
    EQ(request(ram, only_read, 6), 0);
    CHECK(file_has(4 * PAGE, "ghijkl"));

    /* Across the edge of a mapping, and right next to one: a guest may have been too early or too late. */
    EQ(request(written + 2 * PAGE - 3, ram, 6), 0);
    EQ(request(written + 2 * PAGE, ram, 6), 0);
    EQ(request(only_read - 6, ram, 6), 0);

    /* Gone. */
    device(true, PAGE, 2 * PAGE, 0, 1);
    EQ(request(ram, written, 6), 0);
    EQ(request(only_read, ram, 6), 6);

    /* A restart tells what is mapped before the queues run. */
    EQ(vhushmem_frontend_stop_device(q.frontend, NULL, 0, &error), 1);
    queue_rig_start(&q, 64, 0, 0);
    EQ(request(only_read, ram, 6), 6);
    /* A reset takes all mappings. */
    ok(vhushmem_frontend_reset(q.frontend, &error));
    settle(0);
    queue_rig_start(&q, 64, 0, 0);
    EQ(request(only_read, ram, 6), 0);
    device(false, 4 * PAGE, 2 * PAGE, 0, 1);
    EQ(request(only_read, ram, 6), 6);
    ok(vhushmem_frontend_unshare_region(q.frontend, region, &error));
    settle(-ENOENT);
    EQ(request(only_read, ram, 6), 0);
    queue_rig_close(&q);
    close(file);
    return 0;
}
