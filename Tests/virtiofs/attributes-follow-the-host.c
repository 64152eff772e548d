/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes, extended attributes, and the size of the file system are the host's, and the guest's changes reach the host. */
#include "virtiofs-rig.h"

static vfs v;

static void looks(uint64_t node)
{
    struct fuse_getattr_in in = {0};
    struct stat st;
    struct statvfs fs;
    CHECK(stat(host_path(&v, "f"), &st) == 0 && statvfs(host_path(&v, "f"), &fs) == 0);
    ok(vfs_ask(&v, FUSE_GETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out)));
    const struct fuse_attr *attr = &BODY(&v, struct fuse_attr_out)->attr;
    EQ(attr->ino, st.st_ino);
    EQ(attr->size, st.st_size);
    EQ(attr->mode, st.st_mode);
    EQ(attr->nlink, st.st_nlink);
    EQ(attr->mtime, st.st_mtim.tv_sec);
    EQ(attr->mtimensec, st.st_mtim.tv_nsec);
    EQ(attr->blocks, st.st_blocks);
    CHECK((attr->flags & FUSE_ATTR_DAX) != 0);
    ok(vfs_ask(&v, FUSE_STATFS, node, NULL, 0, sizeof(struct fuse_statfs_out)));
    EQ(BODY(&v, struct fuse_statfs_out)->st.blocks, fs.f_blocks);
    EQ(BODY(&v, struct fuse_statfs_out)->st.bsize, fs.f_bsize);
    /* FUSE_STATX, protocol 7.39 */
    uint8_t statx_in[24] = {0};
    ok(vfs_ask(&v, 52, node, statx_in, sizeof(statx_in), 32 + 256));
    uint64_t size;
    memcpy(&size, v.body + 32 + 40, sizeof(size));
    EQ(size, st.st_size);
}

static void changes(uint64_t node)
{
    struct fuse_setattr_in in = {
        .valid = FATTR_MODE | FATTR_MTIME | FATTR_ATIME, .mode = 0604, .mtime = 12345, .mtimensec = 678, .atime = 99};
    struct stat st;
    ok(vfs_ask(&v, FUSE_SETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out)));
    CHECK(stat(host_path(&v, "f"), &st) == 0);
    EQ(st.st_mode, S_IFREG | 0604);
    EQ(st.st_mtim.tv_sec, 12345);
    EQ(st.st_mtim.tv_nsec, 678);
    EQ(st.st_atim.tv_sec, 99);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW};
    ok(vfs_ask(&v, FUSE_SETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out)));
    CHECK(stat(host_path(&v, "f"), &st) == 0 && st.st_mtim.tv_sec > 1000000);
    struct fuse_access_in access_in = {.mask = X_OK};
    err(vfs_ask(&v, FUSE_ACCESS, node, &access_in, sizeof(access_in), 0), -EACCES);
    access_in.mask = R_OK;
    ok(vfs_ask(&v, FUSE_ACCESS, node, &access_in, sizeof(access_in), 0));
    if (geteuid() == 0) {
        in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_GID, .uid = 1234, .gid = 5678};
        ok(vfs_ask(&v, FUSE_SETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out)));
        CHECK(stat(host_path(&v, "f"), &st) == 0);
        EQ(st.st_uid, 1234);
        EQ(st.st_gid, 5678);
        /* The link itself, not its target. */
        CHECK(symlink("f", host_path(&v, "l")) == 0);
        in = (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 4321};
        ok(vfs_ask(&v, FUSE_SETATTR, vfs_node(&v, FUSE_ROOT_ID, "l"), &in, sizeof(in), sizeof(struct fuse_attr_out)));
        CHECK(lstat(host_path(&v, "l"), &st) == 0 && st.st_uid == 4321);
        CHECK(stat(host_path(&v, "f"), &st) == 0 && st.st_uid == 1234);
    }
}

static void extended(uint64_t node)
{
    struct {
        uint32_t size, flags;
        char bytes[16];
    } set = {5, 0, "user.a\0hello"};
    struct fuse_getxattr_in get = {.size = 100};
    char seen[16];
    if (vfs_ask(&v, FUSE_SETXATTR, node, &set, 8 + 12, 0) == -EOPNOTSUPP) {
        printf("note: the file system has no attributes of the class user\n");
        return;
    }
    EQ(getxattr(host_path(&v, "f"), "user.a", seen, sizeof(seen)), 5);
    CHECK(memcmp(seen, "hello", 5) == 0);
    ok(vfs_ask2(&v, FUSE_GETXATTR, node, &get, sizeof(get), "user.a", 7, 100));
    CHECK(v.head.len == sizeof(v.head) + 5 && memcmp(v.body, "hello", 5) == 0);
    get.size = 0;
    ok(vfs_ask2(&v, FUSE_GETXATTR, node, &get, sizeof(get), "user.a", 7, 100));
    EQ(BODY(&v, struct fuse_getxattr_out)->size, 5);
    get.size = 2;
    err(vfs_ask2(&v, FUSE_GETXATTR, node, &get, sizeof(get), "user.a", 7, 100), -ERANGE);
    err(vfs_ask2(&v, FUSE_GETXATTR, node, &get, sizeof(get), "user.b", 7, 100), -ENODATA);
    get.size = 100;
    ok(vfs_ask(&v, FUSE_LISTXATTR, node, &get, sizeof(get), 100));
    CHECK(v.head.len == sizeof(v.head) + 7 && memcmp(v.body, "user.a", 7) == 0);
    /* Attributes with a meaning to the host are neither shown nor set. */
    err(vfs_ask2(&v, FUSE_GETXATTR, node, &get, sizeof(get), "security.capability", 20, 100), -EOPNOTSUPP);
    memcpy(set.bytes, "trusted.\0xyz", 12);
    set.size = 3;
    err(vfs_ask(&v, FUSE_SETXATTR, node, &set, 8 + 12, 0), -EOPNOTSUPP);
    ok(vfs_name(&v, FUSE_REMOVEXATTR, node, NULL, 0, "user.a"));
    EQ(getxattr(host_path(&v, "f"), "user.a", seen, sizeof(seen)), -1);
}

int main(void)
{
    vfs_open(&v);
    host_write(host_path(&v, "f"), "twelve bytes", 12);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    looks(node);
    changes(node);
    extended(node);
    vfs_close(&v);
    return 0;
}
