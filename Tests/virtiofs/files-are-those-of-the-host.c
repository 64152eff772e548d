/* SPDX-License-Identifier: BSD-3-Clause */
/* The host has all that a guest makes, writes, reads, copies and truncates, and the other way round. */
#include "virtiofs-rig.h"

#include <linux/falloc.h>

static vfs v;

static uint64_t create(const char *name, uint32_t flags, uint64_t *node)
{
    struct fuse_create_in in = {.flags = O_CREAT | flags, .mode = S_IFREG | 0640};
    ok(vfs_name(&v, FUSE_CREATE, FUSE_ROOT_ID, &in, sizeof(in), name));
    *node = BODY(&v, struct fuse_entry_out)->nodeid;
    EQ(BODY(&v, struct fuse_entry_out)->attr.mode, S_IFREG | 0640);
    return ((const struct fuse_open_out *)(v.body + sizeof(struct fuse_entry_out)))->fh;
}

static void write_and_read(void)
{
    uint64_t node, fh = create("new", O_RDWR | O_EXCL, &node);
    struct stat st;
    EQ(vfs_write(&v, node, fh, 0, "0123456789", 10, O_RDWR), 0);
    EQ(BODY(&v, struct fuse_write_out)->size, 10);
    CHECK(host_is(host_path(&v, "new"), "0123456789", 10));
    CHECK(stat(host_path(&v, "new"), &st) == 0);
    EQ(st.st_mode, S_IFREG | 0640);
    EQ(st.st_uid, geteuid());
    host_write(host_path(&v, "new"), "the host's", 10);
    ok(vfs_read(&v, node, fh, 4, 100));
    EQ(v.head.len, sizeof(v.head) + 6);
    CHECK(memcmp(v.body, "host's", 6) == 0);
    ok(vfs_read(&v, node, fh, 10, 100));
    EQ(v.head.len, sizeof(v.head));
    struct fuse_create_in again = {.flags = O_CREAT | O_EXCL | O_RDWR, .mode = S_IFREG | 0600};
    err(vfs_name(&v, FUSE_CREATE, FUSE_ROOT_ID, &again, sizeof(again), "new"), -EEXIST);
    again.flags = O_CREAT | O_RDWR;
    ok(vfs_name(&v, FUSE_CREATE, FUSE_ROOT_ID, &again, sizeof(again), "new"));
    EQ(BODY(&v, struct fuse_entry_out)->nodeid, node);
    ok(vfs_release(&v, node, ((const struct fuse_open_out *)(v.body + sizeof(struct fuse_entry_out)))->fh));
    ok(vfs_release(&v, node, fh));
    err(vfs_release(&v, node, fh), -EBADF);
}

/* Each write of a program to a file that it opened with O_APPEND goes to the end. A page that the kernel writes back keeps
   its place. */
static void append(void)
{
    uint64_t node, fh = create("log", O_WRONLY | O_APPEND, &node);
    ok(vfs_write(&v, node, fh, 0, "one", 3, O_WRONLY | O_APPEND));
    host_write(host_path(&v, "log"), "longer", 6);
    ok(vfs_write(&v, node, fh, 3, "two", 3, O_WRONLY | O_APPEND));
    CHECK(host_is(host_path(&v, "log"), "longertwo", 9));
    struct fuse_write_in in = {.fh = fh, .offset = 0, .size = 3, .flags = O_WRONLY | O_APPEND, .write_flags = FUSE_WRITE_CACHE};
    ok(vfs_ask2(&v, FUSE_WRITE, node, &in, sizeof(in), "SHO", 3, sizeof(struct fuse_write_out)));
    CHECK(host_is(host_path(&v, "log"), "SHOgertwo", 9));
    ok(vfs_release(&v, node, fh));
}

/* In many pieces, and the largest that a guest may ask for. */
static void pieces(void)
{
    static uint8_t bytes[1 << 20];
    uint64_t node, fh = create("large", O_RDWR, &node);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 11));
    }
    ok(vfs_write(&v, node, fh, 0, bytes, sizeof(bytes), O_RDWR));
    EQ(BODY(&v, struct fuse_write_out)->size, sizeof(bytes));
    CHECK(host_is(host_path(&v, "large"), bytes, sizeof(bytes)));
    ok(vfs_read(&v, node, fh, 0, sizeof(bytes)));
    CHECK(v.head.len == sizeof(v.head) + sizeof(bytes) && memcmp(v.body, bytes, sizeof(bytes)) == 0);

    /* The answer's header in three pieces, the data in pieces of odd sizes. */
    struct fuse_read_in in = {.fh = fh, .offset = 11, .size = 3000};
    descriptor *d = desc_of(&v, 1);
    uint64_t unique = vfs_header(&v, v.ram + REQUEST_AT, FUSE_READ, node, sizeof(in)), at = ANSWER_AT;
    memcpy(v.ram + REQUEST_AT + sizeof(struct fuse_in_header), &in, sizeof(in));
    static const uint32_t sizes[] = {3, 1, 13, 7, 1000, 1, 1991};
    d[0] = (descriptor){GUEST_RAM + REQUEST_AT, 17, NEXT, 1};
    d[1] = (descriptor){GUEST_RAM + REQUEST_AT + 17, sizeof(struct fuse_in_header) + sizeof(in) - 17, NEXT, 2};
    for (unsigned i = 0; i < 7; i++) {
        d[2 + i] = (descriptor){GUEST_RAM + at, sizes[i], (uint16_t)(WRITE | (i < 6 ? NEXT : 0)), (uint16_t)(3 + i)};
        at += sizes[i];
    }
    vfs_offer(&v, 1, 0);
    EQ(vfs_take(&v, 1, &v.written), 0);
    ok(vfs_answer(&v, unique));
    EQ(v.head.len, sizeof(v.head) + 3000);
    CHECK(memcmp(v.body, bytes + 11, 3000) == 0);
    ok(vfs_release(&v, node, fh));
}

static void sizes(void)
{
    uint64_t node, fh = create("sparse", O_RDWR, &node);
    struct fuse_setattr_in cut = {.valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 100000};
    struct stat st;
    ok(vfs_ask(&v, FUSE_SETATTR, node, &cut, sizeof(cut), sizeof(struct fuse_attr_out)));
    EQ(BODY(&v, struct fuse_attr_out)->attr.size, 100000);
    cut = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 200000};
    ok(vfs_ask(&v, FUSE_SETATTR, node, &cut, sizeof(cut), sizeof(struct fuse_attr_out)));
    CHECK(stat(host_path(&v, "sparse"), &st) == 0);
    EQ(st.st_size, 200000);
    struct fuse_fallocate_in room = {.fh = fh, .offset = 0, .length = 300000};
    ok(vfs_ask(&v, FUSE_FALLOCATE, node, &room, sizeof(room), 0));
    CHECK(stat(host_path(&v, "sparse"), &st) == 0);
    EQ(st.st_size, 300000);
    room = (struct fuse_fallocate_in){.fh = fh, .offset = 0, .length = 1, .mode = FALLOC_FL_COLLAPSE_RANGE};
    err(vfs_ask(&v, FUSE_FALLOCATE, node, &room, sizeof(room), 0), -EOPNOTSUPP);
    ok(vfs_release(&v, node, fh));

    fh = create("holes", O_RDWR, &node);
    ok(vfs_write(&v, node, fh, 1 << 20, "data", 4, O_RDWR));
    int fd = open(host_path(&v, "holes"), O_RDONLY | O_CLOEXEC);
    for (int whence = SEEK_DATA; whence <= SEEK_HOLE; whence++) {
        struct fuse_lseek_in seek = {.fh = fh, .offset = 0, .whence = (uint32_t)whence};
        ok(vfs_ask(&v, FUSE_LSEEK, node, &seek, sizeof(seek), sizeof(struct fuse_lseek_out)));
        EQ(BODY(&v, struct fuse_lseek_out)->offset, lseek(fd, 0, whence));
    }
    close(fd);
    ok(vfs_release(&v, node, fh));
}

static void others(void)
{
    uint64_t from, to, from_fh = create("from", O_RDWR, &from), to_fh = create("to", O_RDWR, &to);
    ok(vfs_write(&v, from, from_fh, 0, "0123456789", 10, O_RDWR));
    struct fuse_copy_file_range_in copy = {
        .fh_in = from_fh, .off_in = 2, .nodeid_out = to, .fh_out = to_fh, .off_out = 1, .len = 5};
    ok(vfs_ask(&v, FUSE_COPY_FILE_RANGE, from, &copy, sizeof(copy), sizeof(struct fuse_write_out)));
    EQ(BODY(&v, struct fuse_write_out)->size, 5);
    CHECK(host_is(host_path(&v, "to"), "\00023456", 6));
    struct fuse_fsync_in sync = {.fh = to_fh};
    ok(vfs_ask(&v, FUSE_FSYNC, to, &sync, sizeof(sync), 0));
    struct fuse_flush_in flush = {.fh = to_fh};
    ok(vfs_ask(&v, FUSE_FLUSH, to, &flush, sizeof(flush), 0));
    struct fuse_syncfs_in all = {0};
    ok(vfs_ask(&v, FUSE_SYNCFS, FUSE_ROOT_ID, &all, sizeof(all), 0));
    /* An open file outlives its name. */
    ok(vfs_name(&v, FUSE_UNLINK, FUSE_ROOT_ID, NULL, 0, "from"));
    ok(vfs_read(&v, from, from_fh, 0, 10));
    CHECK(memcmp(v.body, "0123456789", 10) == 0);
    ok(vfs_release(&v, from, from_fh));
    ok(vfs_release(&v, to, to_fh));
    /* A file that is truncated while it is opened. */
    ok(vfs_release(&v, to, vfs_handle(&v, to, O_WRONLY | O_TRUNC)));
    CHECK(host_is(host_path(&v, "to"), "", 0));
}

int main(void)
{
    vfs_open(&v);
    int before = vfs_descriptors(&v);
    write_and_read();
    append();
    pieces();
    sizes();
    others();
    /* DESTROY releases all inodes. */
    ok(vfs_ask(&v, FUSE_DESTROY, 0, NULL, 0, 0));
    EQ(vfs_descriptors(&v), before);
    vfs_close(&v);
    return 0;
}
