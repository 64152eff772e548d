/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Attributes of the host's files, in the form of FUSE.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fs.h"

#include <string.h>

uint64_t fs_valid_seconds(const struct fs *fs)
{
    static const uint64_t seconds[] = {[CACHE_AUTO] = 1, [CACHE_ALWAYS] = 86400, [CACHE_NEVER] = 0};

    return seconds[fs->config.cache];
}

void fs_attributes(const struct fs *fs, const struct statx *st, struct fuse_attr *attr)
{
    *attr = (struct fuse_attr){
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = (uint64_t)st->stx_atime.tv_sec,
        .mtime = (uint64_t)st->stx_mtime.tv_sec,
        .ctime = (uint64_t)st->stx_ctime.tv_sec,
        .atimensec = st->stx_atime.tv_nsec,
        .mtimensec = st->stx_mtime.tv_nsec,
        .ctimensec = st->stx_ctime.tv_nsec,
        .mode = st->stx_mode,
        .nlink = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        /* Linux has device numbers in 32 bits like this: new_encode_dev. */
        .rdev = (st->stx_rdev_minor & 0xff) | st->stx_rdev_major << 8 | (st->stx_rdev_minor & ~0xffu) << 12,
        .blksize = st->stx_blksize,
    };
    /* Without dax=always the guest uses DAX only for files that are marked for it. */
    if (fs->has_dax && fs->says_dax && S_ISREG(st->stx_mode) &&
        (!fs->config.dax_by_chunk || (st->stx_size > 0 && st->stx_size % DAX_CHUNK == 0))) {
        attr->flags |= FUSE_ATTR_DAX;
    }
}

void fs_entry(const struct fs *fs, const struct inode *inode, const struct inode *parent, const struct statx *st,
              struct fuse_entry_out *entry)
{
    *entry =
        (struct fuse_entry_out){.nodeid = inode->id, .entry_valid = fs_valid_seconds(fs), .attr_valid = fs_valid_seconds(fs)};
    fs_attributes(fs, st, &entry->attr);
    if (fs->says_submounts && inode->type == S_IFDIR &&
        (inode->key.dev != parent->key.dev || inode->key.mount != parent->key.mount)) {
        entry->attr.flags |= FUSE_ATTR_SUBMOUNT;
    }
}
