/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Operations on an inode: LOOKUP, FORGET, attributes, READLINK, STATFS.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "privileges.h"

int op_lookup(struct request *r)
{
    struct inode *inode;
    struct statx st;
    int rc = fs_lookup(r->fs, r->inode, r->name, &inode, &st);

    if (rc < 0) {
        return rc;
    }
    fs_entry(r->fs, inode, r->inode, &st, (struct fuse_entry_out *)r->out);
    return sizeof(struct fuse_entry_out);
}

int op_forget(struct request *r)
{
    struct fuse_forget_in in;

    memcpy(&in, r->in, sizeof(in));
    fs_forget(r->fs, r->header.nodeid, in.nlookup);
    return 0;
}

int op_batch_forget(struct request *r)
{
    struct fuse_batch_forget_in in;
    struct fuse_forget_one one;
    size_t at = sizeof(in);

    memcpy(&in, r->in, sizeof(in));
    for (uint32_t i = 0; i < in.count && r->in_size - at >= sizeof(one); i++, at += sizeof(one)) {
        memcpy(&one, r->in + at, sizeof(one));
        fs_forget(r->fs, one.nodeid, one.nlookup);
    }
    return 0;
}

/* ---- attributes ---- */

static int answer_attributes(struct request *r)
{
    struct fuse_attr_out *out = (struct fuse_attr_out *)r->out;
    struct statx st;
    int rc = fs_stat(r->fs, r->inode, &st);

    if (rc < 0) {
        return rc;
    }
    out->attr_valid = fs_valid_seconds(r->fs);
    fs_attributes(r->fs, &st, &out->attr);
    return sizeof(*out);
}

int op_getattr(struct request *r) { return answer_attributes(r); }

static int set_size(struct request *r, const struct fuse_setattr_in *in, int fd)
{
    int rc;

    if (in->size > INT64_MAX) {
        return -EFBIG;
    }
    if (r->inode->type != S_IFREG) {
        return r->inode->type == S_IFDIR ? -EISDIR : -EINVAL;
    }
    privileges_kill_suid((in->valid & FATTR_KILL_SUIDGID) != 0);
    if (fd >= 0) {
        rc = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
    } else {
        fd = fs_reopen(r->fs, r->inode, O_WRONLY);
        rc = fd < 0 ? fd : ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    privileges_kill_suid(false);
    return rc;
}

static struct timespec time_of(uint32_t valid, uint32_t given, uint32_t now, uint64_t seconds, uint32_t nanoseconds)
{
    if ((valid & now) != 0) {
        return (struct timespec){.tv_nsec = UTIME_NOW};
    }
    /* For utimensat, numbers of a second and more have another meaning. */
    return (valid & given) != 0 && nanoseconds < 1000000000 ? (struct timespec){(time_t)seconds, (long)nanoseconds}
                                                            : (struct timespec){.tv_nsec = UTIME_OMIT};
}

/**
 * Change all attributes except the size, by the inode's O_PATH descriptor. For a symbolic link it changes the link itself: the
 * name in /proc leads only to it.
 */
static int set_rest(struct request *r, const struct fuse_setattr_in *in, int path)
{
    char text[PROC_NAME];
    const char *name = proc_name(text, path);
    struct timespec times[2] = {time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
                                time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
    uid_t uid = (in->valid & FATTR_UID) != 0 ? in->uid : (uid_t)-1;
    gid_t gid = (in->valid & FATTR_GID) != 0 ? in->gid : (gid_t)-1;

    if ((in->valid & FATTR_MODE) != 0 && fchmodat(r->fs->proc_fd, name, in->mode & 07777, 0) < 0) {
        return -errno;
    }
    if ((in->valid & (FATTR_UID | FATTR_GID)) != 0 && fchownat(path, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    if ((in->valid & (FATTR_ATIME | FATTR_MTIME)) != 0 && utimensat(r->fs->proc_fd, name, times, 0) < 0) {
        return -errno;
    }
    return 0;
}

int op_setattr(struct request *r)
{
    struct open_file *file = NULL;
    struct fuse_setattr_in in;
    int path, rc = 0;

    memcpy(&in, r->in, sizeof(in));
    if ((in.valid & FATTR_FH) != 0 && (in.valid & FATTR_SIZE) != 0) {
        file = fs_file(r->fs, in.fh, r->header.nodeid, false);
        if (file == NULL) {
            return -EBADF;
        }
    }
    if ((in.valid & FATTR_SIZE) != 0) {
        rc = set_size(r, &in, file != NULL ? file->fd : -1);
    }
    if (rc < 0) {
        return rc;
    }
    path = fs_get_fd(r->fs, r->inode);
    if (path < 0) {
        return path;
    }
    rc = set_rest(r, &in, path);
    fs_put_fd(r->inode, path);
    return rc < 0 ? rc : answer_attributes(r);
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *t)
{
    return (struct fuse_sx_time){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

int op_statx(struct request *r)
{
    struct fuse_statx_out *out = (struct fuse_statx_out *)r->out;
    struct statx st;
    int rc = fs_stat(r->fs, r->inode, &st);

    if (rc < 0) {
        return rc;
    }
    out->attr_valid = fs_valid_seconds(r->fs);
    out->stat = (struct fuse_statx){
        .mask = st.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
        .blksize = st.stx_blksize,
        .attributes = st.stx_attributes,
        .nlink = st.stx_nlink,
        .uid = st.stx_uid,
        .gid = st.stx_gid,
        .mode = st.stx_mode,
        .ino = st.stx_ino,
        .size = st.stx_size,
        .blocks = st.stx_blocks,
        .attributes_mask = st.stx_attributes_mask,
        .atime = sx_time(&st.stx_atime),
        .btime = sx_time(&st.stx_btime),
        .ctime = sx_time(&st.stx_ctime),
        .mtime = sx_time(&st.stx_mtime),
        .rdev_major = st.stx_rdev_major,
        .rdev_minor = st.stx_rdev_minor,
        .dev_major = st.stx_dev_major,
        .dev_minor = st.stx_dev_minor,
    };
    return sizeof(*out);
}

int op_access(struct request *r)
{
    struct fuse_access_in in;
    struct statx st;
    unsigned granted, wanted;
    int rc = fs_stat(r->fs, r->inode, &st);

    memcpy(&in, r->in, sizeof(in));
    wanted = in.mask & (R_OK | W_OK | X_OK);
    if (rc < 0) {
        return rc;
    }
    if ((wanted & W_OK) != 0 && r->fs->config.read_only) {
        return -EROFS;
    }
    if (r->header.uid == 0) {
        granted = R_OK | W_OK | (S_ISDIR(st.stx_mode) || (st.stx_mode & 0111) != 0 ? X_OK : 0);
    } else {
        unsigned shift = r->header.uid == st.stx_uid ? 6 : r->header.gid == st.stx_gid ? 3 : 0;
        granted = st.stx_mode >> shift & 7;
    }
    return (wanted & ~granted) == 0 ? 0 : -EACCES;
}

/* ---- others ---- */

int op_readlink(struct request *r)
{
    ssize_t length;
    int fd;

    if (r->inode->type != S_IFLNK) {
        return -EINVAL;
    }
    fd = fs_get_fd(r->fs, r->inode);
    if (fd < 0) {
        return fd;
    }
    length = readlinkat(fd, "", (char *)r->out, MIN(r->room, ANSWER_MAX));
    length = length < 0 ? -errno : length;
    fs_put_fd(r->inode, fd);
    return (int)length;
}

int op_statfs(struct request *r)
{
    struct fuse_statfs_out *out = (struct fuse_statfs_out *)r->out;
    struct statvfs v;
    int fd = fs_get_fd(r->fs, r->inode), rc;

    if (fd < 0) {
        return fd;
    }
    rc = fstatvfs(fd, &v) < 0 ? -errno : 0;
    fs_put_fd(r->inode, fd);
    if (rc < 0) {
        return rc;
    }
    out->st = (struct fuse_kstatfs){.blocks = v.f_blocks,
                                    .bfree = v.f_bfree,
                                    .bavail = v.f_bavail,
                                    .files = v.f_files,
                                    .ffree = v.f_ffree,
                                    .bsize = (uint32_t)v.f_bsize,
                                    .namelen = MIN((uint32_t)v.f_namemax, LONGEST_NAME),
                                    .frsize = (uint32_t)v.f_frsize};
    return sizeof(*out);
}
