/* SPDX-License-Identifier: BSD-3-Clause */
/* A part of a chain, from any offset on, comes as an array for readv and writev, with as many pieces as there is room for. */
#include "bare-queue.h"

static bool looked;

/* The pieces of a part hold exactly its bytes, in order, and are not empty. */
static void part_is(vhushmem_chain *chain, bool writable, uint64_t offset, uint64_t len, size_t max)
{
    size_t count, found, begin = 0;
    const struct iovec *all = writable ? vhushmem_chain_writable(chain, &count) : vhushmem_chain_readable(chain, &count);
    uint64_t whole = writable ? vhushmem_chain_writable_size(chain) : vhushmem_chain_readable_size(chain);
    uint64_t expected = offset < whole ? MIN(len, whole - offset) : 0, seen = 0;
    struct iovec some[8];
    memset(some, 0xee, sizeof(some));
    found = vhushmem_chain_iovec(chain, writable, offset, len, some, max);
    CHECK(found <= max);
    for (size_t i = 0; i < found; i++) {
        uint64_t at = offset + seen;
        CHECK(some[i].iov_len > 0);
        while (at - begin >= all[0].iov_len) { /* the piece of the whole chain that has it */
            begin += all[0].iov_len;
            all++;
            count--;
        }
        CHECK(count > 0);
        CHECK((char *)some[i].iov_base == (char *)all[0].iov_base + (at - begin));
        CHECK(some[i].iov_len <= all[0].iov_len - (at - begin));
        seen += some[i].iov_len;
    }
    CHECK(seen == expected || (seen < expected && found == max));
    for (size_t i = found; i < 8; i++) { /* nothing was written behind them */
        CHECK(some[i].iov_len == (size_t)0xeeeeeeeeeeeeeeee);
    }
}

static void look(bare_queue *b, vhushmem_queue_event event)
{
    static const uint64_t numbers[] = {0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 1000, UINT64_MAX - 1, UINT64_MAX};
    vhushmem_chain *chain;
    struct iovec one;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
            for (size_t j = 0; j < G_N_ELEMENTS(numbers); j++) {
                for (size_t max = 1; max <= 4; max++) {
                    part_is(chain, false, numbers[i], numbers[j], max);
                    part_is(chain, true, numbers[i], numbers[j], max);
                }
            }
        }
        EQ(vhushmem_chain_iovec(chain, true, 0, 8, &one, 0), 0);
        EQ(vhushmem_chain_iovec(chain, true, 0, 8, NULL, 1), 0);
        EQ(vhushmem_chain_iovec(NULL, true, 0, 8, &one, 1), 0);
        /* The intended use: the bytes after a header come from a file. */
        struct iovec pieces[4];
        int file = memfd_of(16, 0);
        CHECK(pwrite(file, "0123456789abcdef", 16, 0) == 16);
        size_t count = vhushmem_chain_iovec(chain, true, 4, 16, pieces, 4);
        EQ(preadv(file, pieces, (int)count, 0), 16);
        close(file);
        EQ(vhushmem_backend_push(b->r.backend, chain, 20, NULL), 0);
        looked = true;
    }
}

int main(void)
{
    bare_queue b;
    on_queue = look;
    bare_queue_open(&b, 0);
    /* 3 pieces of 8 bytes to read, and one of no bytes; 3 to write. */
    set_descriptor(&b, 0, BUFFERS, 8, NEXT, 1);
    set_descriptor(&b, 1, BUFFERS + 0x100, 0, NEXT, 2);
    set_descriptor(&b, 2, BUFFERS + 0x200, 8, NEXT, 3);
    set_descriptor(&b, 3, BUFFERS + 0x300, 8, NEXT, 4);
    set_descriptor(&b, 4, BUFFERS + 0x400, 8, NEXT | WRITE, 5);
    set_descriptor(&b, 5, BUFFERS + 0x500, 8, NEXT | WRITE, 6);
    set_descriptor(&b, 6, BUFFERS + 0x600, 8, WRITE, 0);
    offer(&b, 0);
    kick(&b);
    CHECK(looked);
    EQ(taken_back(&b), 0);
    CHECK(memcmp(b.ram + BUFFERS + 0x404, "0123", 4) == 0);
    CHECK(memcmp(b.ram + BUFFERS + 0x500, "456789ab", 8) == 0);
    CHECK(memcmp(b.ram + BUFFERS + 0x600, "cdef", 4) == 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
