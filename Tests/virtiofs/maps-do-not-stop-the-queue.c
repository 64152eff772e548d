/* SPDX-License-Identifier: BSD-3-Clause */
/* While the front-end has not answered a map, other requests are served. Those for the same place wait their turn, and end
   in order. */
#include "virtiofs-rig.h"

static vfs v;

enum { SLOT = 0x400 }; /* bytes of each request, and of each answer */

/* Puts a request at its own place, without waiting. Place n uses descriptors 2n and 2n + 1. */
static void post(unsigned n, uint32_t opcode, uint64_t node, const void *in, size_t size, const void *more, size_t more_size)
{
    uint64_t request = REQUEST_AT + n * SLOT, answer = ANSWER_AT + n * SLOT;
    vfs_header(&v, v.ram + request, opcode, node, size + more_size);
    memcpy(v.ram + request + sizeof(struct fuse_in_header), in, size);
    if (more_size > 0) {
        memcpy(v.ram + request + sizeof(struct fuse_in_header) + size, more, more_size);
    }
    memset(v.ram + answer, 0xee, SLOT);
    vfs_chain(&v, 1, 2 * n, request, (uint32_t)(sizeof(struct fuse_in_header) + size + more_size), answer, SLOT);
    vfs_offer(&v, 1, (uint16_t)(2 * n));
}

static int answer_of(unsigned n)
{
    struct fuse_out_header head;
    memcpy(&head, v.ram + ANSWER_AT + n * SLOT, sizeof(head));
    return head.error;
}

static void post_map(unsigned n, uint64_t node, uint64_t offset, uint64_t at, uint64_t len, bool writable)
{
    struct fuse_setupmapping_in in = {.foffset = offset, .len = len, .moffset = at, .flags = 2 | (writable ? 1 : 0)};
    post(n, FUSE_SETUPMAPPING, node, &in, sizeof(in), NULL, 0);
}

static void post_unmap(unsigned n, uint64_t at, uint64_t len)
{
    struct fuse_removemapping_in in = {.count = 1};
    struct fuse_removemapping_one one = {.moffset = at, .len = len};
    post(n, FUSE_REMOVEMAPPING, 1, &in, sizeof(in), &one, sizeof(one));
}

/* The next answer on queue 1, without serving the front-end. */
static unsigned take_unserved(void)
{
    STEP_UNTIL(vfs_has_answer(&v, 1), usleep(200));
    const uint32_t *entry = (const uint32_t *)(used_of(&v, 1) + 2) + 2 * (v.rings[1].taken++ % RING_SIZE);
    return entry[0] / 2;
}

int main(void)
{
    struct fuse_getattr_in attr = {0};
    uint64_t page = PAGE;
    vfs_open(&v);
    int fd = open(host_path(&v, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    fill(fd, 64 * page, 5);
    close(fd);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");

    /* The front-end does nothing until all of these are taken: a map, a getattr, a map elsewhere, a getattr. */
    post_map(0, node, 0, 0, page, false);
    post(1, FUSE_GETATTR, node, &attr, sizeof(attr), NULL, 0);
    post_map(2, node, page, page, page, false);
    post(3, FUSE_GETATTR, node, &attr, sizeof(attr), NULL, 0);
    EQ(take_unserved(), 1);
    EQ(take_unserved(), 3);
    CHECK(!vfs_has_answer(&v, 1));
    bool seen[64] = {false};
    seen[vfs_take(&v, 1, NULL) / 2] = true;
    seen[vfs_take(&v, 1, NULL) / 2] = true;
    CHECK(seen[0] && seen[2]);
    EQ(answer_of(0), 0);
    EQ(answer_of(2), 0);
    EQ(vhushmem_region_mapping_count(v.region), 2);

    /* Thirty for one place, each of which undoes or replaces the one before. The last one counts. */
    for (unsigned i = 0; i < 30; i++) {
        if (i % 3 == 2) {
            post_unmap(i, 0, 2 * page);
        } else {
            post_map(i, node, i * page, 0, i % 2 == 0 ? page : 2 * page, i % 4 == 0);
        }
    }
    for (unsigned i = 0; i < 30; i++) {
        EQ(vfs_take(&v, 1, NULL) / 2, i);
        EQ(answer_of(i), 0);
    }
    EQ(vhushmem_region_mapping_count(v.region), 0);

    /* Twenty, each at its own place. */
    for (unsigned i = 0; i < 20; i++) {
        post_map(i, node, i * page, i * page, page, true);
    }
    for (unsigned i = 0; i < 20; i++) {
        EQ(answer_of(vfs_take(&v, 1, NULL) / 2), 0);
    }
    EQ(vhushmem_region_mapping_count(v.region), 20);
    for (unsigned i = 0; i < 20; i++) {
        shows(v.region, i * page, page, 5, i * page);
    }

    /* The device is stopped, as for a pause, while maps are under way, and goes on. Each map is answered or taken again. */
    for (unsigned i = 0; i < 10; i++) {
        post_map(i, node, 0, (32 + i) * page, page, false);
    }
    uint16_t bases[MOST_QUEUES];
    EQ(ok(vhushmem_frontend_stop_device(v.frontend, bases, MOST_QUEUES, &error)), v.queues);
    vfs_run(&v, bases);
    for (unsigned i = 0; i < 10; i++) {
        unsigned n = vfs_take(&v, 1, NULL) / 2;
        CHECK(n < 10 && answer_of(n) == 0);
    }
    EQ(vhushmem_region_mapping_count(v.region), 30);

    /* A reset forgets them all, and the guest begins again. */
    ok(vhushmem_frontend_reset(v.frontend, &error));
    EQ(vhushmem_region_mapping_count(v.region), 0);
    STEP_UNTIL(!vhushmem_frontend_is_started(v.frontend), vfs_pump(&v));
    for (int i = 0; i < 50; i++) {
        vfs_pump(&v);
        usleep(1000);
    }
    vfs_run(&v, NULL);
    err(vfs_map(&v, node, 0, 0, page, false), -EPROTO); /* no FUSE_INIT yet */
    vfs_init(&v);
    err(vfs_map(&v, node, 0, 0, page, false), -ESTALE);
    node = vfs_node(&v, FUSE_ROOT_ID, "f");
    ok(vfs_map(&v, node, 0, 0, page, false));
    shows(v.region, 0, page, 5, 0);
    vfs_close(&v);
    return 0;
}
