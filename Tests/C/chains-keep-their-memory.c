/* SPDX-License-Identifier: BSD-3-Clause */
/* A chain may lie in several ranges of guest memory, and keeps them for as long as it lives. If the front-end takes the
   rings away, the queue breaks. */
#include "bare-queue.h"

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    bare_queue b;
    int more = memfd_of(4 * PAGE, 5);
    uint8_t bytes[3 * 4096];
    size_t count = 99;
    bare_queue_open(&b, 0);
    /* The guest's memory goes on where RAM ends, in another file. */
    EQ(tell_region(&b, ADD_MEM_REG, RAM + RAM_SIZE, 4 * PAGE, USER + 512 * PAGE, 0, more), 0);
    memset(b.ram + RAM_SIZE - 100, 'a', 100);
    set_descriptor(&b, 0, RAM_SIZE - 100, 100 + 2 * (uint32_t)PAGE, NEXT, 1);
    set_descriptor(&b, 1, RAM_SIZE + 3 * PAGE, (uint32_t)PAGE, NEXT | WRITE, 2);
    set_descriptor(&b, 2, RAM_SIZE - 50, 60, WRITE, 0);
    offer(&b, 0);
    vhushmem_chain *chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    EQ(vhushmem_chain_readable_size(chain), 100 + 2 * PAGE);
    EQ(vhushmem_chain_writable_size(chain), PAGE + 60);
    const struct iovec *pieces = some(vhushmem_chain_readable(chain, &count));
    EQ(count, 2);
    EQ(pieces[0].iov_len, 100);
    EQ(pieces[1].iov_len, 2 * PAGE);
    pieces = some(vhushmem_chain_writable(chain, &count));
    EQ(count, 3);
    EQ(pieces[0].iov_len + pieces[1].iov_len + pieces[2].iov_len, PAGE + 60);

    /* The front-end takes the second range away. The chain still has it. */
    EQ(tell_region(&b, REM_MEM_REG, RAM + RAM_SIZE, 4 * PAGE, USER + 512 * PAGE, 0, -1), 0);
    CHECK(vhushmem_backend_guest_memory(b.r.backend, RAM + RAM_SIZE, 1) == NULL);
    EQ(vhushmem_chain_read(chain, 96, bytes, 12), 12);
    uint64_t word;
    memcpy(&word, bytes + 4, sizeof(word)); /* not aligned */
    CHECK(memcmp(bytes, "aaaa", 4) == 0 && word == pattern(5, 0));
    EQ(vhushmem_chain_read(chain, 100 + 2 * PAGE - 8, bytes, sizeof(bytes)), 8);
    EQ(vhushmem_chain_read(chain, 100 + 2 * PAGE, bytes, 1), 0);
    EQ(vhushmem_chain_read(chain, UINT64_MAX, bytes, 1), 0);
    EQ(vhushmem_chain_write(chain, PAGE + 48, "0123456789abcdefghi", 19), 12);
    CHECK(memcmp(b.ram + RAM_SIZE - 2, "01", 2) == 0);
    EQ(vhushmem_chain_write(chain, PAGE + 60, "x", 1), 0);
    ok(vhushmem_backend_push(b.r.backend, chain, (uint32_t)PAGE + 60, &error));
    EQ(taken_back(&b), 0);

    /* All memory goes and comes back, as when a guest gets more memory: the queue goes on. */
    EQ(tell_region(&b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    tell_ram(&b);
    set_descriptor(&b, 3, BUFFERS, 8, WRITE, 0);
    offer(&b, 3);
    chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    /* The memory goes and stays away: the queue waits for it, and the chain still has it. */
    EQ(tell_region(&b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0);
    EQ(vhushmem_chain_write(chain, 0, "stays", 5), 5);
    CHECK(memcmp(b.ram + BUFFERS, "stays", 5) == 0);
    refused(vhushmem_backend_push(b.r.backend, chain, 5, &error), -EAGAIN, "not in guest memory now");
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    vhushmem_chain_free(chain);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(more);
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
