/* SPDX-License-Identifier: BSD-3-Clause */
/* Names that lead elsewhere, node ids and handles of nothing, and forgets of lookups that were never made. */
#include "hostile-guest.h"

static int look_up(vfs *v, const void *with) { return vfs_lookup(v, 1, with); }

static int make_dir(vfs *v, const void *with)
{
    struct fuse_mkdir_in in = {.mode = 0755};
    return vfs_name(v, FUSE_MKDIR, 1, &in, sizeof(in), with);
}

static int create(vfs *v, const void *with)
{
    struct fuse_create_in in = {.flags = O_CREAT | O_RDWR | O_TRUNC, .mode = S_IFREG | 0644};
    return vfs_name(v, FUSE_CREATE, 1, &in, sizeof(in), with);
}

static int unlink_it(vfs *v, const void *with) { return vfs_name(v, FUSE_UNLINK, 1, NULL, 0, with); }
static int remove_it(vfs *v, const void *with) { return vfs_name(v, FUSE_RMDIR, 1, NULL, 0, with); }

static int rename_to(vfs *v, const void *with)
{
    struct fuse_rename_in in = {.newdir = 1};
    char names[600] = "f";
    strcpy(names + 2, with);
    return vfs_ask2(v, FUSE_RENAME, 1, &in, sizeof(in), names, 3 + strlen(with), 0);
}

static int rename_one_name(vfs *v, const void *with)
{
    struct fuse_rename_in in = {.newdir = 1};
    (void)with;
    return vfs_ask2(v, FUSE_RENAME, 1, &in, sizeof(in), "f", 2, 0);
}

static int symlink_at(vfs *v, const void *with)
{
    char names[600];
    size_t length = strlen(with) + 1;
    strcpy(names, with);
    strcpy(names + length, "target");
    return vfs_ask(v, FUSE_SYMLINK, 1, names, length + 7, 512);
}

static int symlink_without_target(vfs *v, const void *with)
{
    (void)with;
    return vfs_ask(v, FUSE_SYMLINK, 1, "x", 2, 512);
}

static int name_without_end(vfs *v, const void *with)
{
    (void)with;
    return vfs_ask(v, FUSE_LOOKUP, 1, "abcdef", 6, 512);
}

/* ---- links out of the directory ---- */

static int open_link(vfs *v, const void *with)
{
    struct fuse_open_in in = {.flags = *(const uint32_t *)with};
    return vfs_ask(v, FUSE_OPEN, vfs_node(v, 1, "l"), &in, sizeof(in), sizeof(struct fuse_open_out));
}

static int create_over_link(vfs *v, const void *with)
{
    struct fuse_create_in in = {.flags = O_CREAT | O_RDWR | O_TRUNC, .mode = S_IFREG | 0644};
    (void)with;
    return vfs_name(v, FUSE_CREATE, 1, &in, sizeof(in), "l");
}

static int below_link(vfs *v, const void *with) { return vfs_lookup(v, vfs_node(v, 1, "l"), with); }

static int map_link(vfs *v, const void *with)
{
    (void)with;
    return vfs_map(v, vfs_node(v, 1, "l"), 0, 0, CHUNK, false);
}

static int cut_link(vfs *v, const void *with)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE};
    (void)with;
    return vfs_ask(v, FUSE_SETATTR, vfs_node(v, 1, "l"), &in, sizeof(in), sizeof(struct fuse_attr_out));
}

static int chmod_link(vfs *v, const void *with)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0777};
    (void)with;
    return vfs_ask(v, FUSE_SETATTR, vfs_node(v, 1, "l"), &in, sizeof(in), sizeof(struct fuse_attr_out));
}

static int xattr_of_link(vfs *v, const void *with)
{
    struct fuse_getxattr_in in = {.size = 100};
    (void)with;
    return vfs_ask2(v, FUSE_GETXATTR, vfs_node(v, 1, "l"), &in, sizeof(in), "user.a", 7, 100);
}

/* ---- what would wait, or be a device ---- */

static int open_fifo(vfs *v, const void *with)
{
    struct fuse_open_in in = {.flags = *(const uint32_t *)with};
    return vfs_ask(v, FUSE_OPEN, vfs_node(v, 1, "p"), &in, sizeof(in), sizeof(struct fuse_open_out));
}

static int make_node(vfs *v, const void *with)
{
    struct fuse_mknod_in in = *(const struct fuse_mknod_in *)with;
    int rc = vfs_name(v, FUSE_MKNOD, 1, &in, sizeof(in), "node");
    if (rc == 0) {
        vfs_name(v, FUSE_UNLINK, 1, NULL, 0, "node");
    }
    return rc;
}

/* ---- node ids ---- */

static int node(vfs *v, const void *with)
{
    struct fuse_getattr_in in = {0};
    return vfs_ask(v, FUSE_GETATTR, *(const uint64_t *)with, &in, sizeof(in), sizeof(struct fuse_attr_out));
}

static int nodes(vfs *v, const void *with)
{
    struct fuse_getattr_in in = {0};
    (void)with;
    for (uint64_t id = 2; id != 0; id = id << 1 | (id & 1)) {
        err(vfs_ask(v, FUSE_GETATTR, id, &in, sizeof(in), sizeof(struct fuse_attr_out)), -ESTALE);
        if (id == (uint64_t)INT64_MIN) {
            break;
        }
    }
    return 0;
}

static int forgotten(vfs *v, const void *with)
{
    uint64_t id = vfs_node(v, 1, "f");
    vfs_forget(v, id, *(const uint64_t *)with);
    return node(v, &id);
}

static int forget_root(vfs *v, const void *with)
{
    (void)with;
    vfs_forget(v, 1, UINT64_MAX);
    vfs_forget(v, 1, 1);
    return vfs_lookup(v, 1, "f");
}

static int forget_in_use(vfs *v, const void *with)
{
    uint64_t id = vfs_node(v, 1, "f"), fh = vfs_handle(v, id, O_RDWR);
    (void)with;
    ok(vfs_map(v, id, 0, 0, CHUNK, true));
    vfs_forget(v, id, 1);
    err(vfs_read(v, id, fh, 0, 10), -ESTALE);
    err(vfs_release(v, id, fh), -ESTALE);
    return vfs_map(v, id, 0, CHUNK, CHUNK, true);
}

static int link_nobody(vfs *v, const void *with)
{
    struct fuse_link_in in = {.oldnodeid = *(const uint64_t *)with};
    return vfs_name(v, FUSE_LINK, 1, &in, sizeof(in), "new");
}

static int rename_nowhere(vfs *v, const void *with)
{
    struct fuse_rename_in in = {.newdir = *(const uint64_t *)with};
    return vfs_ask2(v, FUSE_RENAME, 1, &in, sizeof(in), "f\0g", 4, 0);
}

static int below_file(vfs *v, const void *with)
{
    (void)with;
    return vfs_lookup(v, vfs_node(v, 1, "f"), "x");
}

static int make_below_file(vfs *v, const void *with)
{
    struct fuse_mkdir_in in = {.mode = 0755};
    (void)with;
    return vfs_name(v, FUSE_MKDIR, vfs_node(v, 1, "f"), &in, sizeof(in), "x");
}

/* ---- handles ---- */

static int read_handle(vfs *v, const void *with) { return vfs_read(v, vfs_node(v, 1, "f"), *(const uint64_t *)with, 0, 10); }

static int handle_of_other(vfs *v, const void *with)
{
    uint64_t f = vfs_node(v, 1, "f"), d = vfs_node(v, 1, "d"), fh = vfs_handle(v, f, O_RDWR);
    (void)with;
    return vfs_read(v, d, fh, 0, 10);
}

static int list_file(vfs *v, const void *with)
{
    uint64_t f = vfs_node(v, 1, "f");
    struct fuse_read_in in = {.fh = vfs_handle(v, f, O_RDWR), .size = 4096};
    (void)with;
    return vfs_ask(v, FUSE_READDIR, f, &in, sizeof(in), 4096);
}

static int read_directory(vfs *v, const void *with)
{
    struct fuse_open_in in = {.flags = O_RDONLY};
    (void)with;
    ok(vfs_ask(v, FUSE_OPENDIR, 1, &in, sizeof(in), sizeof(struct fuse_open_out)));
    return vfs_read(v, 1, BODY(v, struct fuse_open_out)->fh, 0, 10);
}

static int release_twice(vfs *v, const void *with)
{
    uint64_t f = vfs_node(v, 1, "f"), fh = vfs_handle(v, f, O_RDWR);
    (void)with;
    ok(vfs_release(v, f, fh));
    return vfs_release(v, f, fh);
}

static int cut_by_handle(vfs *v, const void *with)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_FH, .fh = *(const uint64_t *)with};
    return vfs_ask(v, FUSE_SETATTR, vfs_node(v, 1, "f"), &in, sizeof(in), sizeof(struct fuse_attr_out));
}

static int copy_to_nobody(vfs *v, const void *with)
{
    uint64_t f = vfs_node(v, 1, "f");
    struct fuse_copy_file_range_in in = {
        .fh_in = vfs_handle(v, f, O_RDWR), .nodeid_out = f, .fh_out = *(const uint64_t *)with, .len = 10};
    return vfs_ask(v, FUSE_COPY_FILE_RANGE, f, &in, sizeof(in), sizeof(struct fuse_write_out));
}

/* More handles than the device may have descriptors. */
static int open_all(vfs *v, const void *with)
{
    uint64_t f = vfs_node(v, 1, "f");
    struct fuse_open_in in = {.flags = O_RDONLY};
    int rc = 0;
    (void)with;
    for (int i = 0; i < 5000 && rc == 0; i++) {
        rc = vfs_ask(v, FUSE_OPEN, f, &in, sizeof(in), sizeof(struct fuse_open_out));
    }
    return rc;
}

static int open_as(vfs *v, const void *with)
{
    struct fuse_open_in in = {.flags = *(const uint32_t *)with};
    return vfs_ask(v, FUSE_OPEN, vfs_node(v, 1, "f"), &in, sizeof(in), sizeof(struct fuse_open_out));
}

static int open_directory_as_file(vfs *v, const void *with)
{
    struct fuse_open_in in = {.flags = O_RDONLY};
    (void)with;
    return vfs_ask(v, FUSE_OPEN, 1, &in, sizeof(in), sizeof(struct fuse_open_out));
}

static int xattr_named(vfs *v, const void *with)
{
    struct {
        uint32_t size, flags;
        char bytes[300];
    } in = {1, 0, ""};
    strcpy(in.bytes, with);
    return vfs_ask(v, FUSE_SETXATTR, vfs_node(v, 1, "f"), &in, sizeof(in), 0);
}

#define U32(n)                                                                                                                 \
    &(const uint32_t) { n }
#define U64(n)                                                                                                                 \
    &(const uint64_t) { n }
#define LONG256                                                                                                                \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"         \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"         \
    "0123456789abcdef0123456789abcdef"

int main(void)
{
    const guest_case cases[] = {
        {"LOOKUP of ..", -EINVAL, look_up, ".."},
        {"LOOKUP of .", -EINVAL, look_up, "."},
        {"LOOKUP of /", -EINVAL, look_up, "/"},
        {"LOOKUP of ../secret", -EINVAL, look_up, "../secret"},
        {"LOOKUP of /etc/passwd", -EINVAL, look_up, "/etc/passwd"},
        {"LOOKUP of d/../../secret", -EINVAL, look_up, "d/../../secret"},
        {"LOOKUP of d/", -EINVAL, look_up, "d/"},
        {"LOOKUP of a name of 256 bytes", -ENAMETOOLONG, look_up, LONG256},
        {"LOOKUP of a name that does not end", -EINVAL, name_without_end, NULL},
        {"MKDIR of ..", -EINVAL, make_dir, ".."},
        {"MKDIR of ../new", -EINVAL, make_dir, "../new"},
        {"CREATE of ../secret", -EINVAL, create, "../secret"},
        {"CREATE of ..", -EINVAL, create, ".."},
        {"UNLINK of ../secret", -EINVAL, unlink_it, "../secret"},
        {"UNLINK of a directory", -EISDIR, unlink_it, "d"},
        {"RMDIR of ..", -EINVAL, remove_it, ".."},
        {"RMDIR of .", -EINVAL, remove_it, "."},
        {"RENAME to ../secret", -EINVAL, rename_to, "../secret"},
        {"RENAME to ..", -EINVAL, rename_to, ".."},
        {"RENAME to the empty name", -EINVAL, rename_to, ""},
        {"RENAME with one name", -EINVAL, rename_one_name, NULL},
        {"SYMLINK at ../new", -EINVAL, symlink_at, "../new"},
        {"SYMLINK without a target", -EINVAL, symlink_without_target, NULL},
        {"OPEN of a symbolic link", -ELOOP, open_link, U32(O_RDONLY)},
        {"OPEN of a symbolic link for writing", -ELOOP, open_link, U32(O_WRONLY | O_TRUNC)},
        {"CREATE over a symbolic link", -ELOOP, create_over_link, NULL},
        {"LOOKUP below a symbolic link", -ENOTDIR, below_link, "secret"},
        {"SETUPMAPPING of a symbolic link", -ENODEV, map_link, NULL},
        {"SETATTR of a symbolic link's size", -EINVAL, cut_link, NULL},
        {"SETATTR of a symbolic link's mode", -EOPNOTSUPP, chmod_link, NULL},
        {"GETXATTR of a symbolic link", -EPERM, xattr_of_link, NULL},
        {"OPEN of a FIFO", -ENXIO, open_fifo, U32(O_RDONLY)},
        {"OPEN of a FIFO for writing", -ENXIO, open_fifo, U32(O_WRONLY)},
        {"MKNOD of the host's disk", -EPERM, make_node, &(const struct fuse_mknod_in){.mode = S_IFBLK | 0666, .rdev = 0x800}},
        {"MKNOD of /dev/mem", -EPERM, make_node, &(const struct fuse_mknod_in){.mode = S_IFCHR | 0666, .rdev = 0x101}},
        {"MKNOD of a directory", -EINVAL, make_node, &(const struct fuse_mknod_in){.mode = S_IFDIR | 0755}},
        {"MKNOD of no kind", ANY, make_node, &(const struct fuse_mknod_in){.mode = 0170000}},
        {"node id 0", -ESTALE, node, U64(0)},
        {"node id 2^64 - 1", -ESTALE, node, U64(UINT64_MAX)},
        {"node ids of all magnitudes", 0, nodes, NULL},
        {"a node id after it was forgotten", -ESTALE, forgotten, U64(1)},
        {"more lookups forgotten than made", -ESTALE, forgotten, U64(UINT64_MAX)},
        {"no lookup forgotten", 0, forgotten, U64(0)},
        {"the root forgotten", 0, forget_root, NULL},
        {"an inode forgotten that is open and mapped", -ESTALE, forget_in_use, NULL},
        {"LINK of nobody", -ESTALE, link_nobody, U64(1234567)},
        {"LINK of the root", -EPERM, link_nobody, U64(1)},
        {"RENAME into nobody", -ESTALE, rename_nowhere, U64(1234567)},
        {"LOOKUP below a file", -ENOTDIR, below_file, NULL},
        {"MKDIR below a file", -ENOTDIR, make_below_file, NULL},
        {"handle 0", -EBADF, read_handle, U64(0)},
        {"handle 2^64 - 1", -EBADF, read_handle, U64(UINT64_MAX)},
        {"a handle like a pointer", -EBADF, read_handle, U64(UINT64_C(0x7f0000001000))},
        {"a handle of another inode", -EBADF, handle_of_other, NULL},
        {"READDIR of a file's handle", -EBADF, list_file, NULL},
        {"READ of a directory's handle", -EBADF, read_directory, NULL},
        {"a handle released twice", -EBADF, release_twice, NULL},
        {"SETATTR by a handle of nobody's", -EBADF, cut_by_handle, U64(99)},
        {"COPY_FILE_RANGE to a handle of nobody's", -EBADF, copy_to_nobody, U64(99)},
        {"more open files than there may be", -ENFILE, open_all, NULL},
        {"OPEN with both bits of access", -EINVAL, open_as, U32(O_ACCMODE)},
        {"OPEN with all flags but access", 0, open_as, U32(UINT32_MAX & ~(uint32_t)(O_ACCMODE | O_TRUNC))},
        {"OPEN of a directory", -EISDIR, open_directory_as_file, NULL},
        {"SETXATTR of security.capability", -EOPNOTSUPP, xattr_named, "security.capability"},
        {"SETXATTR of trusted.x", -EOPNOTSUPP, xattr_named, "trusted.x"},
        {"SETXATTR of system.posix_acl_access", -EOPNOTSUPP, xattr_named, "system.posix_acl_access"},
        {"SETXATTR of the empty name", -EOPNOTSUPP, xattr_named, ""},
        {"SETXATTR of a name of 256 bytes", -ERANGE, xattr_named, LONG256},
    };
    return run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}
