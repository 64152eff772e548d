/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Operations that make, remove and rename entries of a directory. Each entry is one checked name below the descriptor of a
 * directory. The calls of the kernel that are used here do not follow a symbolic link of that name.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <string.h>
#include <unistd.h>

#include <linux/fs.h>

#include "privileges.h"

/** Answer a request that has made r->name. */
static int answer_entry(struct request *r) { return op_lookup(r); }

/* Makes an entry as the guest's user. */
typedef int (*maker)(struct request *r, int dir, const void *argument);

static int make(struct request *r, maker fn, const void *argument)
{
    int dir = fs_get_directory(r->fs, r->inode), rc;

    if (dir < 0) {
        return dir;
    }
    rc = privileges_as(r->header.uid, r->header.gid);
    if (rc == 0) {
        rc = fn(r, dir, argument) < 0 ? -errno : 0;
        privileges_as_before();
    }
    fs_put_fd(r->inode, dir);
    return rc < 0 ? rc : answer_entry(r);
}

static int make_symlink(struct request *r, int dir, const void *target) { return symlinkat(target, dir, r->name); }

int op_symlink(struct request *r)
{
    const char *target = r->name2;

    /* Linux's client does not ask for an empty target. The host never follows the link, so any other target is harmless. */
    return target[0] == 0 ? -ENOENT : strlen(target) >= 4096 ? -ENAMETOOLONG : make(r, make_symlink, target);
}

static int make_node(struct request *r, int dir, const void *argument)
{
    const struct fuse_mknod_in *in = argument;
    /* Linux has device numbers in 32 bits like this: new_decode_dev. */
    dev_t device = makedev((in->rdev & 0xfff00) >> 8, (in->rdev & 0xff) | (in->rdev >> 12 & 0xfff00));

    return mknodat(dir, r->name, in->mode & (S_IFMT | 07777), device);
}

int op_mknod(struct request *r)
{
    struct fuse_mknod_in in;

    memcpy(&in, r->in, sizeof(in));
    return S_ISDIR(in.mode) || S_ISLNK(in.mode) ? -EINVAL : make(r, make_node, &in);
}

static int make_directory(struct request *r, int dir, const void *argument)
{
    const struct fuse_mkdir_in *in = argument;

    return mkdirat(dir, r->name, in->mode & 07777);
}

int op_mkdir(struct request *r)
{
    struct fuse_mkdir_in in;

    memcpy(&in, r->in, sizeof(in));
    return make(r, make_directory, &in);
}

int op_link(struct request *r)
{
    struct fuse_link_in in;
    struct inode *old;
    char name[PROC_NAME];
    int dir, fd, rc;

    memcpy(&in, r->in, sizeof(in));
    old = fs_inode(r->fs, in.oldnodeid);
    if (old == NULL) {
        return -ESTALE;
    }
    dir = fs_get_directory(r->fs, r->inode);
    if (dir < 0) {
        return dir;
    }
    fd = fs_get_fd(r->fs, old);
    rc = fd < 0 ? fd : linkat(r->fs->proc_fd, proc_name(name, fd), dir, r->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    fs_put_fd(old, fd);
    fs_put_fd(r->inode, dir);
    return rc < 0 ? rc : answer_entry(r);
}

static int remove_entry(struct request *r, int flags)
{
    int dir = fs_get_directory(r->fs, r->inode), rc;

    if (dir < 0) {
        return dir;
    }
    rc = unlinkat(dir, r->name, flags) < 0 ? -errno : 0;
    fs_put_fd(r->inode, dir);
    return rc;
}

int op_unlink(struct request *r) { return remove_entry(r, 0); }
int op_rmdir(struct request *r) { return remove_entry(r, AT_REMOVEDIR); }

static int rename_entry(struct request *r, uint64_t new_dir, unsigned flags)
{
    struct inode *to = fs_inode(r->fs, new_dir);
    int old_fd, new_fd, rc;

    if (to == NULL) {
        return -ESTALE;
    }
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0) {
        return -EINVAL;
    }
    old_fd = fs_get_directory(r->fs, r->inode);
    if (old_fd < 0) {
        return old_fd;
    }
    new_fd = fs_get_directory(r->fs, to);
    rc = new_fd < 0 ? new_fd : renameat2(old_fd, r->name, new_fd, r->name2, flags) < 0 ? -errno : 0;
    fs_put_fd(to, new_fd);
    fs_put_fd(r->inode, old_fd);
    return rc;
}

int op_rename(struct request *r)
{
    struct fuse_rename_in in;

    memcpy(&in, r->in, sizeof(in));
    return rename_entry(r, in.newdir, 0);
}

int op_rename2(struct request *r)
{
    struct fuse_rename2_in in;

    memcpy(&in, r->in, sizeof(in));
    return rename_entry(r, in.newdir, in.flags);
}
