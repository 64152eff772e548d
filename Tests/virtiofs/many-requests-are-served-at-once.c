/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest has as many requests under way as its queue holds. It gets an answer to each, with that request's number and that
 * file's bytes. The note has the processor time of the device for each request: docs/virtiofs.md says why one thread serves.
 */
#include "virtiofs-rig.h"

#include <time.h>

#define AT_ONCE (RING_SIZE / 2)
#define ROOM (128u << 10)

static vfs v;
static uint64_t node, fh;

static uint64_t processor_ns(void)
{
    clockid_t clock;
    struct timespec t;
    CHECK(clock_getcpuclockid(v.child, &clock) == 0 && clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* One request in each place of the queue, then one kick for all, and all answers. */
static void round_of(uint32_t opcode, const void *in, size_t size, uint32_t room)
{
    uint64_t first = v.unique + 1, one = 1;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t request = REQUEST_AT + i * 4096, answer = ANSWER_AT + i * (ROOM + 4096);
        vfs_header(&v, v.ram + request, opcode, node, size);
        memcpy(v.ram + request + sizeof(struct fuse_in_header), in, size);
        vfs_chain(&v, 1, 2 * i, request, (uint32_t)(sizeof(struct fuse_in_header) + size), answer,
                  (uint32_t)(sizeof(struct fuse_out_header) + room));
        avail_of(&v, 1)[2 + v.rings[1].asked++ % RING_SIZE] = (uint16_t)(2 * i);
    }
    __atomic_store_n(&avail_of(&v, 1)[1], v.rings[1].asked, __ATOMIC_RELEASE);
    CHECK(write(v.rings[1].kick, &one, sizeof(one)) == sizeof(one));
    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint32_t written, head = vfs_take(&v, 1, &written);
        const struct fuse_out_header *out = (const void *)(v.ram + ANSWER_AT + head / 2 * (ROOM + 4096));
        EQ(out->error, 0);
        EQ(out->unique, first + head / 2);
        EQ(out->len, written);
        CHECK(opcode != FUSE_READ || (out->len == sizeof(*out) + room && ((const char *)out)[written - 1] == 'x'));
    }
}

static double microseconds_of(uint32_t opcode, const void *in, size_t size, uint32_t room, int rounds)
{
    round_of(opcode, in, size, room);
    uint64_t began = processor_ns();
    for (int i = 0; i < rounds; i++) {
        round_of(opcode, in, size, room);
    }
    return (double)(processor_ns() - began) / rounds / AT_ONCE / 1000;
}

int main(void)
{
    int rounds = getenv("VHUSHMEM_ROUNDS") != NULL ? atoi(getenv("VHUSHMEM_ROUNDS")) : 20;
    char *bytes = g_malloc(1 << 20);
    vfs_open_with(&v, 2, NULL);
    memset(bytes, 'x', 1 << 20);
    host_write(host_path(&v, "file"), bytes, 1 << 20);
    g_free(bytes);
    node = vfs_node(&v, FUSE_ROOT_ID, "file");
    fh = vfs_handle(&v, node, O_RDONLY);
    struct fuse_getattr_in attr = {0};
    struct fuse_read_in small = {.fh = fh, .size = 4096}, large = {.fh = fh, .size = ROOM};
    double a = microseconds_of(FUSE_GETATTR, &attr, sizeof(attr), sizeof(struct fuse_attr_out), rounds);
    double s = microseconds_of(FUSE_READ, &small, sizeof(small), 4096, rounds);
    double l = microseconds_of(FUSE_READ, &large, sizeof(large), ROOM, rounds);
    printf("note: us of the device's processor time: GETATTR %.2f, READ of 4 KiB %.2f, of 128 KiB %.2f\n", a, s, l);
    vfs_close(&v);
    return 0;
}
