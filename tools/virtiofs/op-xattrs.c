/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Extended attributes, only of the class `user`. The other classes have a meaning for the host (capabilities of programs,
 * labels, access lists).
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define CLASS "user."
#define LONGEST_XATTR_NAME 255
#define LARGEST_VALUE 65536u

/** Check the name, and get the inode's name below /proc/self/fd, which is the working directory. */
static int begin(struct request *r, char *name, int *fd)
{
    if (!r->fs->config.xattr) {
        return -ENOSYS;
    }
    if (r->name != NULL && strlen(r->name) > LONGEST_XATTR_NAME) {
        return -ERANGE;
    }
    if (r->name != NULL && strncmp(r->name, CLASS, strlen(CLASS)) != 0) {
        return -EOPNOTSUPP;
    }
    /* The kernel has attributes of this class only for files and directories. */
    if (r->inode->type != S_IFREG && r->inode->type != S_IFDIR) {
        return r->name != NULL ? -EPERM : -EOPNOTSUPP;
    }
    *fd = fs_get_fd(r->fs, r->inode);
    if (*fd < 0) {
        return *fd;
    }
    proc_name(name, *fd);
    return 0;
}

int op_setxattr(struct request *r)
{
    struct fuse_setxattr_in in;
    char path[PROC_NAME];
    size_t at;
    int fd, rc;

    memcpy(&in, r->in, VIRTIOFS_SETXATTR_IN);
    at = VIRTIOFS_SETXATTR_IN + strlen(r->name) + 1;
    if (in.size > r->in_size - at) {
        return -EINVAL;
    }
    if (in.size > LARGEST_VALUE) {
        return -E2BIG;
    }
    if ((in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)) != 0) {
        return -EINVAL;
    }
    rc = begin(r, path, &fd);
    if (rc < 0) {
        return rc;
    }
    rc = setxattr(path, r->name, r->in + at, in.size, (int)in.flags) < 0 ? -errno : 0;
    fs_put_fd(r->inode, fd);
    return rc;
}

/** Answer with a size: a guest asks with size 0 how much there is. */
static int answer_size(struct request *r, size_t size)
{
    struct fuse_getxattr_out out = {.size = (uint32_t)size};

    if (r->room < sizeof(out)) {
        return -EINVAL;
    }
    memcpy(r->out, &out, sizeof(out));
    return sizeof(out);
}

int op_getxattr(struct request *r)
{
    struct fuse_getxattr_in in;
    char path[PROC_NAME];
    ssize_t size;
    int fd, rc = begin(r, path, &fd);

    if (rc < 0) {
        return rc;
    }
    memcpy(&in, r->in, sizeof(in));
    size = in.size == 0 ? getxattr(path, r->name, NULL, 0)
                        : getxattr(path, r->name, r->out, MIN(MIN((size_t)in.size, r->room), ANSWER_MAX));
    size = size < 0 ? -errno : size;
    fs_put_fd(r->inode, fd);
    return size >= 0 && in.size == 0 ? answer_size(r, (size_t)size) : (int)size;
}

/** Keep only the names of the class `user` in a list. @returns its new size. */
static size_t only_user(char *names, size_t size)
{
    size_t kept = 0;

    for (size_t at = 0; at < size;) {
        size_t length = strnlen(names + at, size - at) + 1;

        if (strncmp(names + at, CLASS, strlen(CLASS)) == 0 && at + length <= size) {
            memmove(names + kept, names + at, length);
            kept += length;
        }
        at += length;
    }
    return kept;
}

int op_listxattr(struct request *r)
{
    static char names[LARGEST_VALUE];
    struct fuse_getxattr_in in;
    char path[PROC_NAME];
    ssize_t size;
    int fd, rc = begin(r, path, &fd);

    if (rc < 0) {
        return rc;
    }
    memcpy(&in, r->in, sizeof(in));
    size = listxattr(path, names, sizeof(names));
    size = size < 0 ? -errno : (ssize_t)only_user(names, (size_t)size);
    fs_put_fd(r->inode, fd);
    if (size < 0) {
        return (int)size;
    }
    if (in.size == 0) {
        return answer_size(r, (size_t)size);
    }
    if ((size_t)size > MIN(MIN((size_t)in.size, r->room), ANSWER_MAX)) {
        return -ERANGE;
    }
    memcpy(r->out, names, (size_t)size);
    return (int)size;
}

int op_removexattr(struct request *r)
{
    char path[PROC_NAME];
    int fd, rc = begin(r, path, &fd);

    if (rc < 0) {
        return rc;
    }
    rc = removexattr(path, r->name) < 0 ? -errno : 0;
    fs_put_fd(r->inode, fd);
    return rc;
}
