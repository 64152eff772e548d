/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Operations on open files, without READ and WRITE: OPEN, CREATE, RELEASE, FLUSH, FSYNC, LSEEK, FALLOCATE, COPY_FILE_RANGE,
 * SYNCFS.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/openat2.h>

#include "privileges.h"

/*
 * The guest's flags that the host's open gets. O_APPEND is handled at each write. O_DIRECT would need buffers with the
 * alignment of the host's disk.
 */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)
/* A copy keeps the only thread busy. The guest asks for the rest. */
#define LARGEST_COPY (UINT64_C(16) << 20)

static struct open_file *file_of(struct request *r, uint64_t id) { return fs_file(r->fs, id, r->header.nodeid, false); }

/** @returns the flags for the host, or a negative errno. */
static int open_flags(const struct request *r, uint32_t flags)
{
    if ((flags & O_ACCMODE) == O_ACCMODE) {
        return -EINVAL;
    }
    if (r->fs->config.read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0)) {
        return -EROFS;
    }
    return (int)(flags & OPEN_FLAGS);
}

static void answer_open(const struct request *r, uint64_t id, struct fuse_open_out *out)
{
    static const uint32_t flags[] = {[CACHE_AUTO] = 0, [CACHE_ALWAYS] = FOPEN_KEEP_CACHE, [CACHE_NEVER] = FOPEN_DIRECT_IO};

    *out = (struct fuse_open_out){.fh = id, .open_flags = flags[r->fs->config.cache]};
}

/**
 * Whether an open removes the set-user-id bit. Without HANDLE_KILLPRIV_V2 Linux's client does that itself, except for an open
 * that truncates.
 */
static bool kills_suid(const struct request *r, int flags, uint32_t more)
{
    if (killpriv.is_on) {
        return (more & FUSE_OPEN_KILL_SUIDGID) != 0;
    }
    return (flags & O_TRUNC) != 0 && r->header.uid != 0;
}

/** Open a regular file and make a handle for it. */
static int open_file(struct request *r, const struct inode *inode, uint32_t wanted, uint32_t more, uint64_t *id)
{
    int flags = open_flags(r, wanted), fd, rc;

    if (flags < 0) {
        return flags;
    }
    if (inode->type == S_IFDIR) {
        return -EISDIR;
    }
    privileges_kill_suid(kills_suid(r, flags, more));
    fd = fs_reopen(r->fs, inode, flags);
    privileges_kill_suid(false);
    if (fd < 0) {
        return fd;
    }
    rc = fs_add_file(r->fs, inode, fd, false, id);
    if (rc < 0) {
        close(fd);
    }
    return rc;
}

int op_open(struct request *r)
{
    struct fuse_open_in in;
    uint64_t id;
    int rc;

    memcpy(&in, r->in, sizeof(in));
    rc = open_file(r, r->inode, in.flags, in.open_flags, &id);
    if (rc < 0) {
        return rc;
    }
    answer_open(r, id, (struct fuse_open_out *)r->out);
    return sizeof(struct fuse_open_out);
}

/** Make a new file as the guest's user. @returns a descriptor or a negative errno. */
static int create_file(struct request *r, int flags, uint32_t mode)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY),
                           .mode = mode & 07777,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int dir = fs_get_directory(r->fs, r->inode), fd, rc;

    if (dir < 0) {
        return dir;
    }
    rc = privileges_as(r->header.uid, r->header.gid);
    if (rc == 0) {
        fd = (int)syscall(SYS_openat2, dir, r->name, &how, sizeof(how));
        rc = fd < 0 ? -errno : fd;
        privileges_as_before();
    }
    fs_put_fd(r->inode, dir);
    return rc;
}

int op_create(struct request *r)
{
    struct fuse_entry_out *entry = (struct fuse_entry_out *)r->out;
    struct fuse_open_out *opened = (struct fuse_open_out *)(r->out + sizeof(*entry));
    struct fuse_create_in in;
    struct inode *inode = NULL;
    struct statx st;
    uint64_t id = 0;
    int flags, fd, rc;

    memcpy(&in, r->in, sizeof(in));
    flags = open_flags(r, in.flags);
    if (flags < 0) {
        return flags;
    }
    fd = create_file(r, flags, in.mode);
    if (fd == -EEXIST && (in.flags & O_EXCL) == 0) {
        rc = fs_lookup(r->fs, r->inode, r->name, &inode, &st);
        if (rc == 0) {
            rc = open_file(r, inode, in.flags, in.open_flags, &id);
        }
    } else if (fd < 0) {
        return fd;
    } else {
        rc = fs_adopt(r->fs, fd, &inode, &st);
        if (rc == 0) {
            rc = fs_add_file(r->fs, inode, fd, false, &id);
        }
        if (rc < 0) {
            close(fd);
        }
    }
    if (rc < 0) {
        if (inode != NULL) {
            fs_forget(r->fs, inode->id, 1);
        }
        return rc;
    }
    fs_entry(r->fs, inode, r->inode, &st, entry);
    answer_open(r, id, opened);
    return sizeof(*entry) + sizeof(*opened);
}

int op_release(struct request *r)
{
    struct fuse_release_in in;
    struct open_file *file;

    memcpy(&in, r->in, sizeof(in));
    file = file_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    fs_remove_file(r->fs, file);
    return 0;
}

int op_flush(struct request *r)
{
    struct fuse_flush_in in;
    struct open_file *file;
    int fd;

    memcpy(&in, r->in, sizeof(in));
    file = file_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    /* If a file system writes at close, it reports its errors here. */
    fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 || close(fd) < 0 ? -errno : 0;
}

int op_fsync(struct request *r)
{
    struct fuse_fsync_in in;
    struct open_file *file;

    memcpy(&in, r->in, sizeof(in));
    file = file_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    return ((in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0 ? fdatasync(file->fd) : fsync(file->fd)) < 0 ? -errno : 0;
}

int op_syncfs(struct request *r) { return syncfs(r->fs->whole_fd) < 0 ? -errno : 0; }

int op_lseek(struct request *r)
{
    struct fuse_lseek_out *out = (struct fuse_lseek_out *)r->out;
    struct fuse_lseek_in in;
    struct open_file *file;
    off_t at;

    memcpy(&in, r->in, sizeof(in));
    file = file_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX) {
        return -EINVAL;
    }
    at = lseek(file->fd, (off_t)in.offset, (int)in.whence);
    if (at < 0) {
        return -errno;
    }
    out->offset = (uint64_t)at;
    return sizeof(*out);
}

int op_fallocate(struct request *r)
{
    struct fuse_fallocate_in in;
    struct open_file *file;
    int rc;

    memcpy(&in, r->in, sizeof(in));
    file = file_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    if ((in.mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
        return -EOPNOTSUPP;
    }
    if (in.offset > INT64_MAX || in.length > INT64_MAX) {
        return -EFBIG;
    }
    privileges_kill_suid(true);
    rc = fallocate(file->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0 ? -errno : 0;
    privileges_kill_suid(false);
    return rc;
}

int op_copy_file_range(struct request *r)
{
    struct fuse_write_out *out = (struct fuse_write_out *)r->out;
    struct fuse_copy_file_range_in in;
    struct open_file *from, *to;
    off_t from_at, to_at;
    ssize_t copied;

    memcpy(&in, r->in, sizeof(in));
    from = file_of(r, in.fh_in);
    to = fs_file(r->fs, in.fh_out, in.nodeid_out, false);
    if (from == NULL || to == NULL) {
        return -EBADF;
    }
    if (in.flags != 0 || in.off_in > INT64_MAX || in.off_out > INT64_MAX) {
        return -EINVAL;
    }
    from_at = (off_t)in.off_in;
    to_at = (off_t)in.off_out;
    privileges_kill_suid(true);
    copied = copy_file_range(from->fd, &from_at, to->fd, &to_at, (size_t)MIN(in.len, LARGEST_COPY), 0);
    copied = copied < 0 ? -errno : copied;
    privileges_kill_suid(false);
    if (copied < 0) {
        return (int)copied;
    }
    out->size = (uint32_t)copied;
    return sizeof(*out);
}
