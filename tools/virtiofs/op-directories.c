/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Operations on open directories. The offset of an entry is the kernel's own (d_off), so a guest may go on from any offset that
 * it has got.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel fills in this struct. */
struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

static struct open_file *directory_of(struct request *r, uint64_t id) { return fs_file(r->fs, id, r->header.nodeid, true); }

int op_opendir(struct request *r)
{
    struct fuse_open_out *out = (struct fuse_open_out *)r->out;
    uint64_t id;
    int fd, rc;

    if (r->inode->type != S_IFDIR) {
        return -ENOTDIR;
    }
    fd = fs_reopen(r->fs, r->inode, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return fd;
    }
    if (fs_has_left(r->fs, r->inode, fd)) {
        close(fd);
        return -ESTALE;
    }
    rc = fs_add_file(r->fs, r->inode, fd, true, &id);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *out = (struct fuse_open_out){.fh = id,
                                  .open_flags = r->fs->config.cache == CACHE_ALWAYS ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0};
    return sizeof(*out);
}

int op_releasedir(struct request *r)
{
    struct fuse_release_in in;
    struct open_file *file;

    memcpy(&in, r->in, sizeof(in));
    file = directory_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    fs_remove_file(r->fs, file);
    return 0;
}

int op_fsyncdir(struct request *r)
{
    struct fuse_fsync_in in;
    struct open_file *file;

    memcpy(&in, r->in, sizeof(in));
    file = directory_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    return ((in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0 ? fdatasync(file->fd) : fsync(file->fd)) < 0 ? -errno : 0;
}

/* ---- listing ---- */

struct listing {
    struct request *r;
    bool plus;
    size_t room, used;
};

/**
 * Fill in the attributes of an entry, and count one lookup of it. For . and .., and if it cannot be looked up, fill in nothing.
 */
static void fill_entry(struct request *r, const char *name, struct fuse_entry_out *entry)
{
    struct inode *inode;
    struct statx st;

    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && fs_lookup(r->fs, r->inode, name, &inode, &st) == 0) {
        fs_entry(r->fs, inode, r->inode, &st, entry);
    }
}

/** Add an entry. @returns false: there is no room for it. */
static bool add_entry(struct listing *l, const struct linux_dirent64 *d)
{
    size_t length = strlen(d->d_name), head = l->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    size_t size = FUSE_DIRENT_ALIGN(head + length);
    uint8_t *at = l->r->out + l->used;
    struct fuse_dirent *entry = (struct fuse_dirent *)(l->plus ? at + offsetof(struct fuse_direntplus, dirent) : at);

    if (l->room - l->used < size) {
        return false;
    }
    memset(at, 0, size);
    if (l->plus) {
        fill_entry(l->r, d->d_name, &((struct fuse_direntplus *)at)->entry_out);
    }
    /* The guest must not learn what is above the shared directory. */
    entry->ino = l->r->inode == &l->r->fs->root && strcmp(d->d_name, "..") == 0 ? l->r->inode->key.ino : d->d_ino;
    entry->off = (uint64_t)d->d_off;
    entry->namelen = (uint32_t)length;
    entry->type = d->d_type;
    memcpy(entry->name, d->d_name, length);
    l->used += size;
    return true;
}

static int list(struct request *r, bool plus)
{
    static _Alignas(8) char entries[32 << 10];
    struct listing l = {.r = r, .plus = plus};
    struct fuse_read_in in;
    struct open_file *file;
    long size;

    memcpy(&in, r->in, sizeof(in));
    file = directory_of(r, in.fh);
    if (file == NULL) {
        return -EBADF;
    }
    if (in.offset > INT64_MAX) {
        return -EINVAL;
    }
    if (fs_has_left(r->fs, r->inode, file->fd)) {
        return -ESTALE;
    }
    l.room = MIN(MIN((size_t)in.size, r->room), ANSWER_MAX);
    if (lseek(file->fd, (off_t)in.offset, SEEK_SET) < 0) {
        return -errno;
    }
    while ((size = syscall(SYS_getdents64, file->fd, entries, sizeof(entries))) > 0) {
        for (long at = 0; at < size; at += ((struct linux_dirent64 *)(entries + at))->d_reclen) {
            if (!add_entry(&l, (const struct linux_dirent64 *)(entries + at))) {
                /* No entry fits. An empty answer would tell the guest that the directory ends here. */
                return l.used > 0 ? (int)l.used : -EINVAL;
            }
        }
    }
    return size < 0 && l.used == 0 ? -errno : (int)l.used;
}

int op_readdir(struct request *r) { return list(r, false); }
int op_readdirplus(struct request *r) { return list(r, true); }
