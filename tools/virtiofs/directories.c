/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Directories that are still in the shared one. The host may move one out that the guest knows; then the guest has it no more.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

bool fs_has_left(const struct fs *fs, const struct inode *inode, int fd)
{
    struct statx st;

    /*
     * The kernel leads nobody up from a directory that is not below what is mounted at /dir (sandbox.c). The directory may be left by
     * another's move at any later moment, as if that had come after the request.
     */
    return inode != &fs->root && statx(fd, "..", AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &st) < 0 && errno == ENOENT;
}

int fs_get_directory(struct fs *fs, const struct inode *inode)
{
    int fd;

    if (inode->type != S_IFDIR) {
        return -ENOTDIR;
    }
    fd = fs_get_fd(fs, inode);
    if (fd >= 0 && fs_has_left(fs, inode, fd)) {
        fs_put_fd(inode, fd);
        return -ESTALE;
    }
    return fd;
}
