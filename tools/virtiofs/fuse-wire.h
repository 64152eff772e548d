/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_FUSE_WIRE_H
#define VHUSHMEM_VIRTIOFS_FUSE_WIRE_H

/*
 * The messages of FUSE from the kernel's header, and those that headers before Linux 6.6 do not
 * have.
 */

#include <stdint.h>

#include <linux/fuse.h>

#if FUSE_KERNEL_MINOR_VERSION < 39
/* Protocol 7.39: STATX. */
#define FUSE_STATX 52

struct fuse_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t __reserved;
};

struct fuse_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, __spare0[1];
    uint64_t ino, size, blocks, attributes_mask;
    struct fuse_sx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t __spare2[14];
};

struct fuse_statx_in {
    uint32_t getattr_flags, reserved;
    uint64_t fh;
    uint32_t sx_flags, sx_mask;
};

struct fuse_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    struct fuse_statx stat;
};
#endif

/* The protocol of this device: 7.39. The oldest that it accepts is 7.31, which brought DAX. */
#define VIRTIOFS_FUSE_MINOR 39
#define VIRTIOFS_OLDEST_MINOR 31

/* The largest READ and WRITE in bytes. The most pages follow from it. */
#define VIRTIOFS_MAX_IO (1u << 20)

/* The first form of FUSE_INIT. Later forms are longer. */
#define VIRTIOFS_INIT_IN_MIN 16
/* The form of FUSE_SETXATTR without FUSE_SETXATTR_EXT, which this device does not offer. */
#define VIRTIOFS_SETXATTR_IN 8

#endif
