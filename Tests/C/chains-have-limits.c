/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A chain's buffers may have 4 GiB, to be read and to be written together. An indirect table may be as long as the queue, or
 * 1,024 entries if that is more. It has whole entries, and at least one.
 */
#include "bare-queue.h"

#define LARGE 0x40000000ull /* where the guest has much memory, which nobody touches */
#define GIB 0x40000000ull

static bare_queue b;

/* Takes the one chain that is there, or returns NULL; then b.broken has the reason. */
static vhushmem_chain *take(void)
{
    offer(&b, 0);
    vhushmem_chain *chain = vhushmem_backend_pop(b.r.backend, 0, &error);
    CHECK(chain != NULL || error != NULL);
    g_clear_error(&error);
    return chain;
}

static void open_queue(uint16_t size, uint64_t features)
{
    bare_queue_init(&b);
    b.size = size;
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | features, -1), 0);
    tell_ram(&b);
}

static void close_queue(void)
{
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Four pieces of 1 GiB, `written` of which are to be written, and one of `more` bytes. All are the same memory. */
static void bytes(int written, uint32_t more, bool is_good)
{
    int large = memfd_of(PAGE, 0);
    CHECK(ftruncate(large, (off_t)GIB) == 0);
    open_queue(16, 0);
    start_queue(&b, 0);
    EQ(tell_region(&b, ADD_MEM_REG, LARGE, GIB, USER + 2 * GIB, 0, large), 0);
    for (int i = 0; i < 4; i++) {
        set_descriptor_at(&b, (unsigned)i, LARGE, (uint32_t)GIB, NEXT | (i >= 4 - written ? WRITE : 0), (uint16_t)(i + 1));
    }
    set_descriptor_at(&b, 4, LARGE, more, written > 0 ? WRITE : 0, 0);
    vhushmem_chain *chain = take();
    EQ(chain != NULL, is_good);
    if (is_good) {
        EQ(vhushmem_chain_readable_size(chain), (uint64_t)(4 - written) * GIB);
        EQ(vhushmem_chain_writable_size(chain), (uint64_t)written * GIB);
        vhushmem_chain_free(chain);
    } else {
        EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
        CHECK(strstr(b.broken, "4 GiB") != NULL);
    }
    close_queue();
    close(large);
}

/* An indirect table that claims `length` bytes. Its first entry is the whole chain. */
static void table(uint16_t size, uint32_t length, bool is_good)
{
    const uint64_t entries = 0x10000, rings = 0x20000; /* in a file of its own, large enough for the longest */
    int file = memfd_of(64 * PAGE, 0);
    open_queue(size, BIT(28));
    EQ(tell_region(&b, ADD_MEM_REG, LARGE, 64 * PAGE, USER + GIB, 0, file), 0);
    uint64_t head[2] = {LARGE + entries, (uint64_t)length | (uint64_t)INDIRECT << 32}, entry[2] = {RAM, 4};
    uint16_t avail[3] = {0, 1, 0};
    CHECK(pwrite(file, head, 16, (off_t)rings) == 16 && pwrite(file, entry, 16, (off_t)entries) == 16);
    CHECK(pwrite(file, avail, sizeof(avail), 0x8000) == sizeof(avail));
    EQ(tell_vring(&b, SET_VRING_NUM, 0, size), 0);
    EQ(tell_rings(&b, 0, 0, USER + GIB + rings, USER + GIB + 0x8000, USER + GIB), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    vhushmem_chain *chain = vhushmem_backend_pop(b.r.backend, 0, &error);
    g_clear_error(&error);
    EQ(chain != NULL, is_good);
    if (is_good) {
        EQ(vhushmem_chain_readable_size(chain), 4);
        vhushmem_chain_free(chain);
    } else {
        CHECK(strstr(b.broken, "length") != NULL);
    }
    close_queue();
    close(file);
}

int main(void)
{
    bytes(0, 0, true);
    bytes(2, 0, true);
    bytes(4, 0, true);
    bytes(0, 1, false);
    bytes(2, 1, false);
    bytes(4, UINT32_MAX, false);

    table(16, 16, true);
    table(16, 0, false);
    table(16, 15, false);
    table(16, 24, false);
    table(16, 16 * 1024, true);
    table(16, 16 * 1025, false);
    table(16, UINT32_MAX & ~15u, false);
    table(2048, 16 * 2048, true);
    table(2048, 16 * 2049, false);
    return 0;
}
