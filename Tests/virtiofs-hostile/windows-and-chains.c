/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings beyond the window, too many of them, removals of nothing, and chains of every bad form. */
#include "hostile-guest.h"

typedef struct place {
    uint64_t offset, at, len, flags;
} place;

static int set_up(vfs *v, const void *with)
{
    const place *p = with;
    struct fuse_setupmapping_in in = {.foffset = p->offset, .len = p->len, .flags = p->flags, .moffset = p->at};
    return vfs_ask(v, FUSE_SETUPMAPPING, vfs_node(v, 1, "f"), &in, sizeof(in), 0);
}

static int set_up_node(vfs *v, const void *with)
{
    struct fuse_setupmapping_in in = {.len = CHUNK, .flags = 2};
    const char *name = with;
    return vfs_ask(v, FUSE_SETUPMAPPING, name != NULL ? vfs_node(v, 1, name) : 1, &in, sizeof(in), 0);
}

/* As many mappings as the window has pages. The front-end's answer counts, and the device goes on. */
static int set_up_pages(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f"), page = PAGE;
    (void)with;
    for (uint64_t at = 0; at < WINDOW_SIZE; at += page) {
        ok(vfs_map(v, node, 0, at, page, false));
    }
    ok(vfs_map(v, node, 0, 0, WINDOW_SIZE, false)); /* this undoes them all */
    EQ(vhushmem_region_mapping_count(v->region), 1);
    return 0;
}

static int remove_place(vfs *v, const void *with)
{
    const place *p = with;
    ok(vfs_map(v, vfs_node(v, 1, "f"), 0, CHUNK, CHUNK, true));
    int rc = vfs_unmap(v, p->at, p->len);
    EQ(vhushmem_region_mapping_count(v->region), rc == 0 && p->offset == 1 ? 0 : 1);
    return rc;
}

/* The request claims counts[0] entries and has counts[1]. */
static int remove_count(vfs *v, const void *with)
{
    const uint32_t *counts = with;
    static struct fuse_removemapping_one all[4096];
    struct fuse_removemapping_in in = {.count = counts[0]};
    for (uint32_t i = 0; i < counts[1]; i++) {
        all[i] = (struct fuse_removemapping_one){.moffset = i % 8 * CHUNK, .len = CHUNK};
    }
    ok(vfs_map(v, vfs_node(v, 1, "f"), 0, CHUNK, CHUNK, true));
    return vfs_ask2(v, FUSE_REMOVEMAPPING, 1, &in, sizeof(in), all, counts[1] * sizeof(all[0]), 0);
}

/* As many requests as the ring has room for, all for one place, and the guest waits for none. Then the front-end goes. */
static int flood_and_go(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    (void)with;
    for (unsigned i = 0; i < RING_SIZE / 2; i++) {
        struct fuse_setupmapping_in in = {.foffset = 0, .len = PAGE * (1 + i % 3), .flags = 2, .moffset = 0};
        uint64_t at = REQUEST_AT + i * 256;
        vfs_header(v, v->ram + at, FUSE_SETUPMAPPING, node, sizeof(in));
        memcpy(v->ram + at + HEAD, &in, sizeof(in));
        vfs_chain(v, 1, 2 * i, at, (uint32_t)(HEAD + sizeof(in)), ANSWER_AT + i * 64, 64);
        vfs_offer(v, 1, (uint16_t)(2 * i));
    }
    return 0;
}

/* The same, with INIT in the middle. */
static int flood_and_mount(vfs *v, const void *with)
{
    flood_and_go(v, with);
    struct fuse_init_in in = {.major = 7, .minor = 38, .flags = FUSE_MAP_ALIGNMENT};
    vfs_header(v, v->ram + REQUEST_AT + 0x8000, FUSE_INIT, 0, sizeof(in));
    memcpy(v->ram + REQUEST_AT + 0x8000 + HEAD, &in, sizeof(in));
    vfs_chain(v, 2, 0, REQUEST_AT + 0x8000, (uint32_t)(HEAD + sizeof(in)), ANSWER_AT + 0x8000, 200);
    vfs_offer(v, 2, 0);
    vfs_take(v, 2, NULL);
    for (unsigned i = 0; i < RING_SIZE / 2; i++) {
        vfs_take(v, 1, NULL);
    }
    return 0;
}

/* The device is reset in the middle. */
static int flood_and_reset(vfs *v, const void *with)
{
    flood_and_go(v, with);
    ok(vhushmem_frontend_reset(v->frontend, &error));
    STEP_UNTIL(!vhushmem_frontend_is_started(v->frontend), vfs_pump(v));
    for (int i = 0; i < 20; i++) {
        vfs_pump(v);
        usleep(1000);
    }
    EQ(vhushmem_region_mapping_count(v->region), 0);
    return 0;
}

/* ---- chains ---- */

/* GETATTR of the root, laid out by these descriptors. Addresses are offsets of guest memory from 0 on. */
typedef struct layout {
    descriptor d[4];
    unsigned count;
} layout;

static void lay_out(vfs *v, const layout *l)
{
    struct fuse_getattr_in in = {0};
    vfs_header(v, v->ram + REQUEST_AT, FUSE_GETATTR, 1, sizeof(in));
    memset(v->ram + REQUEST_AT + HEAD, 0, sizeof(in));
    memcpy(desc_of(v, 1), l->d, l->count * sizeof(l->d[0]));
}

static int chain(vfs *v, const void *with)
{
    lay_out(v, with);
    return outcome_of_chain(v, 1);
}

static int chain_that_comes_back(vfs *v, const void *with)
{
    lay_out(v, with);
    vfs_offer(v, 1, 0);
    vfs_take(v, 1, NULL);
    return 0;
}

static int bad_chain(vfs *v, const void *with)
{
    lay_out(v, with);
    return outcome_of_break(v, 1);
}

/* The guest changes the request while the device performs it: a name, a length. */
static int change_meanwhile(vfs *v, const void *with)
{
    uint8_t *at = v->ram + REQUEST_AT;
    (void)with;
    for (int i = 0; i < steps(2000); i++) {
        vfs_header(v, at, FUSE_LOOKUP, 1, 3);
        memcpy(at + HEAD, "f/", 3);
        vfs_chain(v, 1, 0, REQUEST_AT, HEAD + 3, ANSWER_AT, 512);
        vfs_offer(v, 1, 0);
        for (int n = 0; n < 200 && !vfs_has_answer(v, 1); n++) {
            at[HEAD + 1] = n % 2 == 0 ? '/' : 0;
            ((struct fuse_in_header *)at)->len = n % 3 == 0 ? UINT32_MAX : HEAD + 3;
        }
        vfs_take(v, 1, NULL);
    }
    return 0;
}

/* READ into the ring itself, and into the request. */
static int read_into_ring(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f"), fh = vfs_handle(v, node, O_RDWR);
    struct fuse_read_in in = {.fh = fh, .size = 10};
    vfs_header(v, v->ram + REQUEST_AT, FUSE_READ, node, sizeof(in));
    memcpy(v->ram + REQUEST_AT + HEAD, &in, sizeof(in));
    vfs_chain(v, 1, 0, REQUEST_AT, HEAD + sizeof(in), *(const uint64_t *)with, 26);
    vfs_offer(v, 1, 0);
    usleep(20000);
    return 0;
}

/* A hostile VMM makes its guest's memory shorter, and kicks. The connection ends; the device lives. */
static int lose_memory(vfs *v, const void *with)
{
    uint64_t one = 1;
    (void)with;
    CHECK(ftruncate(v->ram_fd, 0) == 0);
    CHECK(write(v->rings[1].kick, &one, sizeof(one)) == sizeof(one));
    STEP_UNTIL(vhushmem_frontend_dispatch(v->frontend) == -ENOTCONN, usleep(1000));
    CHECK(ftruncate(v->ram_fd, GUEST_RAM_SIZE) == 0);
    return 0;
}

#define PLACE(...)                                                                                                             \
    &(const place) { __VA_ARGS__ }
#define COUNTS(said, there)                                                                                                    \
    (const uint32_t[]) { said, there }
#define REQ (GUEST_RAM + REQUEST_AT)
#define ANS (GUEST_RAM + ANSWER_AT)
#define LAYOUT(n, ...)                                                                                                         \
    &(const layout) { {__VA_ARGS__}, n }

int main(void)
{
    const guest_case cases[] = {
        {"SETUPMAPPING of no bytes", -EINVAL, set_up, PLACE(0, 0, 0, 2)},
        {"SETUPMAPPING right behind the window", -EINVAL, set_up, PLACE(0, WINDOW_SIZE, CHUNK, 2)},
        {"SETUPMAPPING over the window's end", -EINVAL, set_up, PLACE(0, WINDOW_SIZE - CHUNK / 2, CHUNK, 2)},
        {"SETUPMAPPING at 2^64 - 2 MiB", -EINVAL, set_up, PLACE(0, 0 - CHUNK, CHUNK, 2)},
        {"SETUPMAPPING that wraps around", -EINVAL, set_up, PLACE(0, CHUNK, 0 - CHUNK, 2)},
        {"SETUPMAPPING of 2^64 - 1 bytes", -EINVAL, set_up, PLACE(0, 0, UINT64_MAX, 2)},
        {"SETUPMAPPING of a byte less than a page", -EINVAL, set_up, PLACE(0, 0, 4095, 2)},
        {"SETUPMAPPING at half a page", -EINVAL, set_up, PLACE(0, 2048, CHUNK, 2)},
        {"SETUPMAPPING of a file's half page", -EINVAL, set_up, PLACE(2048, 0, CHUNK, 2)},
        {"SETUPMAPPING at 2^63 of a file", -EINVAL, set_up, PLACE(UINT64_C(1) << 63, 0, CHUNK, 2)},
        {"SETUPMAPPING at the last page before 2^63", -EINVAL, set_up, PLACE(INT64_MAX - 4095, 0, CHUNK, 2)},
        {"SETUPMAPPING far behind the file's end", ANY, set_up, PLACE(UINT64_C(1) << 40, 0, CHUNK, 2)},
        {"SETUPMAPPING with unknown flags", -EINVAL, set_up, PLACE(0, 0, CHUNK, 0xff)},
        {"SETUPMAPPING of a directory", -ENODEV, set_up_node, "d"},
        {"SETUPMAPPING of the root", -ENODEV, set_up_node, NULL},
        {"SETUPMAPPING of a FIFO", -ENODEV, set_up_node, "p"},
        {"a mapping for each page of the window", 0, set_up_pages, NULL},
        {"REMOVEMAPPING of half a mapping", -EINVAL, remove_place, PLACE(0, CHUNK, CHUNK / 2, 0)},
        {"REMOVEMAPPING of the middle of a mapping", -EINVAL, remove_place, PLACE(0, CHUNK + CHUNK / 4, CHUNK / 2, 0)},
        {"REMOVEMAPPING of nothing", 0, remove_place, PLACE(0, 0, CHUNK, 0)},
        {"REMOVEMAPPING of no bytes", -EINVAL, remove_place, PLACE(0, CHUNK, 0, 0)},
        {"REMOVEMAPPING beyond the window", -EINVAL, remove_place, PLACE(0, WINDOW_SIZE, CHUNK, 0)},
        {"REMOVEMAPPING that wraps around", -EINVAL, remove_place, PLACE(0, CHUNK, 0 - CHUNK, 0)},
        {"REMOVEMAPPING of everything", 0, remove_place, PLACE(1, 0, UINT64_MAX, 0)},
        {"REMOVEMAPPING of no entry", 0, remove_count, COUNTS(0, 0)},
        {"REMOVEMAPPING of one entry more than there are", -EINVAL, remove_count, COUNTS(5, 4)},
        {"REMOVEMAPPING of 2^32 - 1 entries", -EINVAL, remove_count, COUNTS(UINT32_MAX, 4)},
        {"REMOVEMAPPING of the same 4,096 times", 0, remove_count, COUNTS(4096, 4096)},
        {"32 mappings for one place, and gone", 0, flood_and_go, NULL},
        {"32 mappings for one place, and a new mount", 0, flood_and_mount, NULL},
        {"32 mappings for one place, and a reset", 0, flood_and_reset, NULL},

        {"a request in single bytes", 0, chain,
         LAYOUT(4, {REQ, 1, NEXT, 1}, {REQ + 1, 2, NEXT, 2}, {REQ + 3, 53, NEXT, 3}, {ANS, 200, WRITE, 0})},
        {"an answer in the request's own memory", 0, chain_that_comes_back,
         LAYOUT(2, {REQ, 56, NEXT, 1}, {REQ, 200, WRITE, 0})},
        {"a chain that is a loop", BROKEN, bad_chain, LAYOUT(2, {REQ, 56, NEXT, 1}, {ANS, 200, WRITE | NEXT, 0})},
        {"a chain to a descriptor beyond the table", BROKEN, bad_chain, LAYOUT(1, {REQ, 56, NEXT, 999})},
        {"something to read behind something to write", BROKEN, bad_chain,
         LAYOUT(2, {ANS, 200, WRITE | NEXT, 1}, {REQ, 56, 0, 0})},
        {"an indirect table of half a descriptor", BROKEN, bad_chain, LAYOUT(1, {REQ, 8, INDIRECT, 0})},
        {"an indirect table that has a next", BROKEN, bad_chain,
         LAYOUT(2, {REQ, 16, INDIRECT | NEXT, 1}, {ANS, 200, WRITE, 0})},
        {"a request beyond the guest's memory", SILENT, chain,
         LAYOUT(2, {UINT64_C(1) << 40, 56, NEXT, 1}, {ANS, 200, WRITE, 0})},
        {"an answer beyond the guest's memory", SILENT, chain,
         LAYOUT(2, {REQ, 56, NEXT, 1}, {UINT64_C(1) << 40, 200, WRITE, 0})},
        {"a request at 2^64 - 1", BROKEN, bad_chain, LAYOUT(2, {UINT64_MAX, 56, NEXT, 1}, {ANS, 200, WRITE, 0})},
        {"a request over the edge of the guest's memory", BROKEN, bad_chain,
         LAYOUT(2, {GUEST_RAM + GUEST_RAM_SIZE - 10, 56, NEXT, 1}, {ANS, 200, WRITE, 0})},
        {"a request of 4 GiB", BROKEN, bad_chain, LAYOUT(2, {REQ, UINT32_MAX, NEXT, 1}, {ANS, 200, WRITE, 0})},
        {"pieces of no bytes", 0, chain,
         LAYOUT(4, {REQ, 0, NEXT, 1}, {REQ, 56, NEXT, 2}, {ANS, 0, WRITE | NEXT, 3}, {ANS, 200, WRITE, 0})},
        {"a guest that changes its request meanwhile", 0, change_meanwhile, NULL},
        {"guest memory that is cut off", 0, lose_memory, NULL},
        {"READ into the descriptor table", 0, read_into_ring, &(const uint64_t){RING_BYTES}},
        {"READ into the ring of what is available", 0, read_into_ring, &(const uint64_t){RING_BYTES + 0x1000}},
        {"READ into the ring of what is used", 0, read_into_ring, &(const uint64_t){RING_BYTES + 0x2000}},
    };
    return run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
