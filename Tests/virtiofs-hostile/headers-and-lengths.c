/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers with false statements, and requests and answers of every wrong size. */
#include "hostile-guest.h"

static struct fuse_in_header header(uint32_t len, uint32_t opcode, uint64_t node)
{
    return (struct fuse_in_header){.len = len, .opcode = opcode, .unique = 77, .nodeid = node};
}

/* A header, followed by zeros. */
typedef struct plain {
    uint32_t opcode, len; /* len: as the header says; 0: the real length */
    uint32_t size, room;  /* bytes after the header; for the answer, including its header */
    uint64_t node;
} plain;

static int ask_plain(vfs *v, const void *with)
{
    static uint8_t bytes[1 << 20];
    const plain *p = with;
    struct fuse_in_header head = header(p->len != 0 ? p->len : (uint32_t)HEAD + p->size, p->opcode, p->node != 0 ? p->node : 1);
    memcpy(bytes, &head, sizeof(head));
    return outcome_of(v, bytes, HEAD + p->size, p->room);
}

/* Only a part of a header. */
static int ask_part(vfs *v, const void *with)
{
    struct fuse_in_header head = header(HEAD, FUSE_STATFS, 1);
    return outcome_of(v, &head, *(const uint32_t *)with, 200);
}

static int ask_nothing(vfs *v, const void *with)
{
    (void)with;
    vfs_chain(v, 1, 0, 0, 0, ANSWER_AT, 200);
    return outcome_of_chain(v, 1);
}

/* Each opcode with nothing behind its header, and with a page of 0xff. */
static int ask_each(vfs *v, const void *with)
{
    static uint8_t bytes[HEAD + 4096];
    uint32_t size = *(const uint32_t *)with;
    for (uint32_t opcode = 0; opcode < 256; opcode++) {
        struct fuse_in_header head = header((uint32_t)HEAD + size, opcode, 1);
        memset(bytes, 0xff, sizeof(bytes));
        memcpy(bytes, &head, sizeof(head));
        outcome_of(v, bytes, HEAD + size, 8192);
    }
    vfs_init(v);
    return 0;
}

/* Each opcode with each size of room for its answer up to 200. */
static int ask_each_room(vfs *v, const void *with)
{
    static uint8_t bytes[HEAD + 256];
    (void)with;
    for (uint32_t opcode = 0; opcode < 56; opcode++) {
        for (uint32_t room = 0; room <= 200; room += 8) {
            struct fuse_in_header head = header(sizeof(bytes), opcode, 1);
            memset(bytes, 0, sizeof(bytes));
            memcpy(bytes, &head, sizeof(head));
            bytes[HEAD + 100] = 'x';
            outcome_of(v, bytes, sizeof(bytes), room);
        }
    }
    return 0;
}

static int init_of(vfs *v, const void *with)
{
    struct fuse_init_in in = *(const struct fuse_init_in *)with;
    return vfs_ask(v, FUSE_INIT, 0, &in, sizeof(in), sizeof(struct fuse_init_out));
}

static int before_init(vfs *v, const void *with)
{
    (void)with;
    ok(vfs_ask(v, FUSE_DESTROY, 0, NULL, 0, 0));
    return vfs_lookup(v, 1, "f");
}

static int init_often(vfs *v, const void *with)
{
    (void)with;
    for (int i = 0; i < 300; i++) {
        uint64_t node = vfs_node(v, 1, "f");
        vfs_handle(v, node, O_RDWR);
        ok(vfs_map(v, node, 0, (uint64_t)(i % 8) * CHUNK, CHUNK, true));
        vfs_init(v);
    }
    return 0;
}

/* WRITE whose size claims more than follows. */
static int write_more(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    struct fuse_write_in in = {.fh = vfs_handle(v, node, O_RDWR), .size = *(const uint32_t *)with, .offset = 0};
    return vfs_ask2(v, FUSE_WRITE, node, &in, sizeof(in), "ab", 2, sizeof(struct fuse_write_out));
}

static int read_more(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    struct fuse_read_in in = {.fh = vfs_handle(v, node, O_RDWR), .size = *(const uint32_t *)with};
    return vfs_ask(v, FUSE_READ, node, &in, sizeof(in), 100);
}

static int read_at(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    return vfs_read(v, node, vfs_handle(v, node, O_RDWR), *(const uint64_t *)with, 10);
}

static int write_at(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    return vfs_write(v, node, vfs_handle(v, node, O_RDWR), *(const uint64_t *)with, "x", 1, 0);
}

static int cut_to(vfs *v, const void *with)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = *(const uint64_t *)with};
    return vfs_ask(v, FUSE_SETATTR, vfs_node(v, 1, "f"), &in, sizeof(in), sizeof(struct fuse_attr_out));
}

static int fallocate_at(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    struct fuse_fallocate_in in = {.fh = vfs_handle(v, node, O_RDWR), .offset = *(const uint64_t *)with, .length = UINT64_MAX};
    return vfs_ask(v, FUSE_FALLOCATE, node, &in, sizeof(in), 0);
}

static int seek_from(vfs *v, const void *with)
{
    uint64_t node = vfs_node(v, 1, "f");
    struct fuse_lseek_in in = {.fh = vfs_handle(v, node, O_RDWR), .whence = *(const uint32_t *)with, .offset = 1};
    return vfs_ask(v, FUSE_LSEEK, node, &in, sizeof(in), sizeof(struct fuse_lseek_out));
}

static int list_small(vfs *v, const void *with)
{
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    ok(vfs_ask(v, FUSE_OPENDIR, 1, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)));
    struct fuse_read_in in = {.fh = BODY(v, struct fuse_open_out)->fh, .size = *(const uint32_t *)with};
    return vfs_ask(v, FUSE_READDIR, 1, &in, sizeof(in), 8);
}

static int list_at(vfs *v, const void *with)
{
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    ok(vfs_ask(v, FUSE_OPENDIR, 1, &open_in, sizeof(open_in), sizeof(struct fuse_open_out)));
    struct fuse_read_in in = {.fh = BODY(v, struct fuse_open_out)->fh, .size = 4096, .offset = *(const uint64_t *)with};
    return vfs_ask(v, FUSE_READDIRPLUS, 1, &in, sizeof(in), 4096);
}

static int forget_many(vfs *v, const void *with)
{
    static struct {
        struct fuse_batch_forget_in in;
        struct fuse_forget_one all[20000];
    } batch;
    (void)with;
    batch.in.count = UINT32_MAX;
    for (int i = 0; i < 20000; i++) {
        batch.all[i] = (struct fuse_forget_one){.nodeid = (uint64_t)i, .nlookup = UINT64_MAX};
    }
    vfs_header(v, v->ram + REQUEST_AT, FUSE_BATCH_FORGET, 0, sizeof(batch));
    memcpy(v->ram + REQUEST_AT + HEAD, &batch, sizeof(batch));
    vfs_chain(v, 0, 0, REQUEST_AT, (uint32_t)(HEAD + sizeof(batch)), 0, 0);
    vfs_offer(v, 0, 0);
    vfs_take(v, 0, NULL);
    return vfs_lookup(v, 1, "f");
}

static int xattr_sizes(vfs *v, const void *with)
{
    struct {
        uint32_t size, flags;
        char name[8];
    } in = {*(const uint32_t *)with, 0, "user.a"};
    return vfs_ask(v, FUSE_SETXATTR, vfs_node(v, 1, "f"), &in, sizeof(in), 0);
}

#define WITH(type, ...)                                                                                                        \
    &(const type) { __VA_ARGS__ }
#define PLAIN(...) ask_plain, WITH(plain, __VA_ARGS__)
#define U32(n) WITH(uint32_t, n)
#define U64(n) WITH(uint64_t, n)

int main(void)
{
    static const uint32_t none = 0;
    const guest_case cases[] = {
        {"no readable bytes at all", SILENT, ask_nothing, NULL},
        {"one byte of a header", SILENT, ask_part, U32(1)},
        {"a header that lacks its last byte", SILENT, ask_part, U32(39)},
        {"a header that says it has no length", -EINVAL, PLAIN(FUSE_STATFS, 1, 0, 200, 0)},
        {"a header that says 39 bytes", -EINVAL, PLAIN(FUSE_STATFS, 39, 0, 200, 0)},
        {"a header that says one byte more than there is", -EINVAL, PLAIN(FUSE_STATFS, 41, 0, 200, 0)},
        {"a header that says 4 GiB", -EINVAL, PLAIN(FUSE_STATFS, UINT32_MAX, 0, 200, 0)},
        {"an opcode that nobody has", -ENOSYS, PLAIN(9999, 0, 0, 200, 0)},
        {"the opcode 2^32 - 1", -ENOSYS, PLAIN(UINT32_MAX, 0, 0, 200, 0)},
        {"opcode 0", -ENOSYS, PLAIN(0, 0, 64, 200, 0)},
        {"a request for a lock", -ENOSYS, PLAIN(FUSE_GETLK, 0, 64, 200, 0)},
        {"an ioctl", -ENOSYS, PLAIN(FUSE_IOCTL, 0, 64, 200, 0)},
        {"CUSE_INIT", -ENOSYS, PLAIN(CUSE_INIT, 0, 64, 200, 0)},
        {"no room for an answer", SILENT, PLAIN(FUSE_STATFS, 0, 0, 0, 0)},
        {"room for half an answer's header", SILENT, PLAIN(FUSE_STATFS, 0, 0, 8, 0)},
        {"room for a header and no attributes", -EINVAL, PLAIN(FUSE_GETATTR, 0, 16, 16, 0)},
        {"room for attributes but for one byte", -EINVAL, PLAIN(FUSE_GETATTR, 0, 16, 16 + sizeof(struct fuse_attr_out) - 1, 0)},
        {"GETATTR that lacks a byte", -EINVAL, PLAIN(FUSE_GETATTR, 0, 15, 200, 0)},
        {"SETATTR with nothing behind its header", -EINVAL, PLAIN(FUSE_SETATTR, 0, 0, 200, 0)},
        {"LOOKUP without a name", -EINVAL, PLAIN(FUSE_LOOKUP, 0, 0, 200, 0)},
        {"LOOKUP of the empty name", -EINVAL, PLAIN(FUSE_LOOKUP, 0, 1, 200, 0)},
        {"MKDIR of 300 KiB", -E2BIG, PLAIN(FUSE_MKDIR, 0, 300 << 10, 200, 0)},
        {"STATFS of 300 KiB", -E2BIG, PLAIN(FUSE_STATFS, 0, 300 << 10, 200, 0)},
        {"FUSE_INIT of 8 bytes", -EINVAL, PLAIN(FUSE_INIT, 0, 8, 200, 0)},
        {"FUSE 7.30", -EPROTO, init_of, WITH(struct fuse_init_in, .major = 7, .minor = 30)},
        {"FUSE 6.99", -EPROTO, init_of, WITH(struct fuse_init_in, .major = 6, .minor = 99)},
        {"FUSE 8.0", 0, init_of, WITH(struct fuse_init_in, .major = 8)},
        {"all flags of FUSE_INIT", 0, init_of,
         WITH(struct fuse_init_in, .major = 7, .minor = UINT32_MAX, .flags = UINT32_MAX, .flags2 = UINT32_MAX)},
        {"a lookup before FUSE_INIT", -EPROTO, before_init, NULL},
        {"300 mounts without an unmount", 0, init_often, NULL},
        {"each opcode with nothing behind its header", 0, ask_each, &none},
        {"each opcode with a page of 0xff", 0, ask_each, U32(4096)},
        {"each opcode with every room for an answer", 0, ask_each_room, NULL},
        {"WRITE of one byte more than follows", -EINVAL, write_more, U32(3)},
        {"WRITE of 2 MiB that are not there", -EINVAL, write_more, U32(2u << 20)},
        {"WRITE of 2^32 - 1 bytes", -EINVAL, write_more, U32(UINT32_MAX)},
        {"READ of one byte more than there is room for", -EINVAL, read_more, U32(101)},
        {"READ of 2^32 - 1 bytes", -EINVAL, read_more, U32(UINT32_MAX)},
        {"READ at 2^63", -EINVAL, read_at, U64(UINT64_C(1) << 63)},
        {"READ at 2^63 - 1", -EINVAL, read_at, U64(INT64_MAX)},
        {"READ at 2^64 - 1", -EINVAL, read_at, U64(UINT64_MAX)},
        {"WRITE at 2^64 - 1", -EINVAL, write_at, U64(UINT64_MAX)},
        {"WRITE at 2^63 - 1", -EINVAL, write_at, U64(INT64_MAX)},
        {"a size of 2^64 - 1", -EFBIG, cut_to, U64(UINT64_MAX)},
        {"a size of 2^63", -EFBIG, cut_to, U64(UINT64_C(1) << 63)},
        {"FALLOCATE of 2^64 - 1 bytes", -EFBIG, fallocate_at, U64(0)},
        {"LSEEK from nowhere", -EINVAL, seek_from, U32(77)},
        {"LSEEK that would move the position", -EINVAL, seek_from, U32(SEEK_SET)},
        {"READDIR with room for no entry", -EINVAL, list_small, U32(4096)},
        {"READDIR of no bytes", -EINVAL, list_small, U32(0)},
        {"READDIRPLUS at 2^64 - 1", -EINVAL, list_at, U64(UINT64_MAX)},
        {"READDIRPLUS at an offset of nobody's", ANY, list_at, U64(INT64_MAX)},
        {"BATCH_FORGET of all there may be, 2^64 - 1 times each", 0, forget_many, NULL},
        {"SETXATTR whose value is longer than it is", -EINVAL, xattr_sizes, U32(1000)},
        {"SETXATTR of 2^32 - 1 bytes", -EINVAL, xattr_sizes, U32(UINT32_MAX)},
    };
    return run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
