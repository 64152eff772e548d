/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * READ and WRITE: between the file and the guest's memory. This process makes no copy.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "privileges.h"

#define MOST_PIECES 256

/** Read until the range is full or the file ends. @returns the number of bytes, or a negative errno if there are none. */
static int read_into(const struct request *r, int fd, uint64_t offset, uint64_t len)
{
    size_t done = 0;
    struct iovec some[MOST_PIECES];

    while (done < len) {
        size_t n = vhushmem_chain_iovec(r->chain, true, sizeof(struct fuse_out_header) + done, len - done, some, MOST_PIECES);
        ssize_t got = n > 0 ? preadv(fd, some, (int)n, (off_t)(offset + done)) : 0;

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && done == 0) {
            return -errno;
        }
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return (int)done;
}

int op_read(struct request *r)
{
    struct fuse_read_in in;
    struct open_file *file;

    memcpy(&in, r->in, sizeof(in));
    file = fs_file(r->fs, in.fh, r->header.nodeid, false);
    if (file == NULL) {
        return -EBADF;
    }
    if (in.size > VIRTIOFS_MAX_IO || in.size > r->room || in.offset > INT64_MAX - VIRTIOFS_MAX_IO) {
        return -EINVAL;
    }
    r->is_written = true;
    return read_into(r, file->fd, in.offset, in.size);
}

static int write_from(const struct request *r, int fd, uint64_t offset, uint64_t len, int flags)
{
    const uint64_t begin = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
    size_t done = 0;
    struct iovec some[MOST_PIECES];

    while (done < len) {
        size_t n = vhushmem_chain_iovec(r->chain, false, begin + done, len - done, some, MOST_PIECES);
        ssize_t put = n > 0 ? pwritev2(fd, some, (int)n, (off_t)(offset + done), flags) : 0;

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0 && done == 0) {
            return -errno;
        }
        if (put <= 0) {
            break;
        }
        done += (size_t)put;
    }
    return (int)done;
}

int op_write(struct request *r)
{
    struct fuse_write_out *out = (struct fuse_write_out *)r->out;
    struct fuse_write_in in;
    struct open_file *file;
    int written, flags = 0;

    memcpy(&in, r->in, sizeof(in));
    file = fs_file(r->fs, in.fh, r->header.nodeid, false);
    if (file == NULL) {
        return -EBADF;
    }
    if (in.size > VIRTIOFS_MAX_IO || in.size > r->data_size - sizeof(in) || in.offset > INT64_MAX - VIRTIOFS_MAX_IO) {
        return -EINVAL;
    }
    /*
     * A program's write to a file opened with O_APPEND goes to the present end. Pages that the guest's kernel writes back have
     * their own place.
     */
    if ((in.flags & O_APPEND) != 0 && (in.write_flags & FUSE_WRITE_CACHE) == 0) {
        flags = RWF_APPEND;
    }
    privileges_kill_suid((in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0);
    written = write_from(r, file->fd, in.offset, in.size, flags);
    privileges_kill_suid(false);
    if (written < 0) {
        return written;
    }
    out->size = (uint32_t)written;
    return sizeof(*out);
}
