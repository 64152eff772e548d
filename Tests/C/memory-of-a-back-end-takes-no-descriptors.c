/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end keeps no descriptor of the guest memory that it was told of, even for hundreds of ranges. Queues that nobody
   uses take little memory. */
/* valgrind: no (it looks at what malloc has handed out) */
/* asan: no (it looks at what malloc has handed out) */
#include "bare-queue.h"

#include <malloc.h>

#define RANGES 508
#define FAR 0x40000000ull

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void ranges(void)
{
    bare_queue b;
    int other = memfd_of(PAGE, 0);
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    int before = open_descriptors();
    for (uint64_t i = 0; i < RANGES; i++) {
        uint64_t at = FAR + 2 * i * PAGE;
        EQ(tell_region(&b, ADD_MEM_REG, at, PAGE, USER + at, 0, i % 2 == 0 ? b.ram_fd : other), 0);
    }
    EQ(open_descriptors(), before);
    CHECK(vhushmem_backend_guest_memory(b.r.backend, FAR + 2 * (RANGES - 1) * PAGE, PAGE) != NULL);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(other);
}

/* Bytes that a back-end of 256 queues takes after a handshake and the set-up of one queue. */
static void queues(void)
{
    backend_rig r;
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 256};
    uint32_t state[2] = {7, 16};
    size_t before = mallinfo2().uordblks;
    backend_rig_open(&r, 16 * PAGE, &options);
    backend_rig_set(&r, SET_VRING_NUM, state, sizeof(state), NULL, 0);
    size_t taken = mallinfo2().uordblks - before;
    if (taken > 64 << 10) {
        FAIL("a back-end of 256 queues takes %zu bytes", taken);
    }
    backend_rig_close(&r);
}

int main(void)
{
    ranges();
    queues();
    return 0;
}
