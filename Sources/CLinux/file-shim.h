/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FILE_SHIM_H
#define VHU_FILE_SHIM_H

/* Files: what a descriptor is, its seals, memfds. */

#include "linux-shim.h"

static inline int vhu_fcntl_get_seals(int fd) { return fcntl(fd, F_GET_SEALS); }
static inline int vhu_fcntl_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }
static inline int vhu_fcntl_get_flags(int fd) { return fcntl(fd, F_GETFL); }
static inline int vhu_fcntl_dupfd_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

static inline int vhu_open_read_only(const char *path) { return open(path, O_RDONLY | O_CLOEXEC); }
/*
 * Opens the file of an open descriptor once more, only for reading. With O_NONBLOCK this does not
 * wait for a lease on the file (F_SETLEASE).
 */
static inline int vhu_reopen_read_only(int fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static inline int vhu_open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
static inline int vhu_try_lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }

/* The number of descriptors that this process may have open, or -1. */
static inline int64_t vhu_open_files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return -1;
    }
    return limit.rlim_cur < INT64_MAX ? (int64_t)limit.rlim_cur : INT64_MAX;
}

static inline bool vhu_is_regular(uint32_t mode) { return S_ISREG(mode); }
static inline bool vhu_is_directory(uint32_t mode) { return S_ISDIR(mode); }
static inline bool vhu_is_fifo(uint32_t mode) { return S_ISFIFO(mode); }
/* Only the fields of statx that are used, so that the other ones need not be zeroed first. */
struct vhu_file_status {
    /* device: its major and minor number. */
    uint64_t size, inode, device;
    uint32_t block_size;
    uint16_t mode;
    bool has_name, on_block_device;
};
static inline int vhu_statx_cached(int fd, struct vhu_file_status *status)
{
    struct statx all;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &all) !=
        0) {
        return -1;
    }
    status->size = all.stx_size;
    status->inode = all.stx_ino;
    const uint32_t device[2] = {all.stx_dev_major, all.stx_dev_minor};
    memcpy(&status->device, device, sizeof(device));
    status->block_size = all.stx_blksize;
    status->mode = all.stx_mode;
    status->has_name = all.stx_nlink != 0;
    status->on_block_device = all.stx_dev_major != 0;
    return 0;
}
/* The bytes that a file has in memory or on its disk, or -1. */
static inline int64_t vhu_allocated(int fd)
{
    struct statx all;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BLOCKS, &all) != 0) {
        return -1;
    }
    return all.stx_blocks < INT64_MAX >> 9 ? (int64_t)(all.stx_blocks << 9) : INT64_MAX;
}
static inline bool vhu_is_socket(uint32_t mode) { return S_ISSOCK(mode); }
static inline int vhu_is_eventfd(int fd)
{
    static const char name[] = "anon_inode:[eventfd]";
    char path[32], target[sizeof(name)];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof(target));
    return length < 0 ? -1
                      : length == sizeof(name) - 1 && memcmp(target, name, sizeof(name) - 1) == 0;
}
static inline bool vhu_is_anonymous(uint32_t mode) { return (mode & S_IFMT) == 0; }

#define VHU_HUGETLBFS_MAGIC 0x958458f6
#define VHU_EXT4_MAGIC 0xef53
#define VHU_XFS_MAGIC 0x58465342
static const int vhu_seal_write = F_SEAL_WRITE;
/* F_SEAL_FUTURE_WRITE: older headers do not have it. */
static const int vhu_seal_future_write = 0x0010;
static const int vhu_seal_shrink = F_SEAL_SHRINK;
static const int vhu_seal_size = F_SEAL_SHRINK | F_SEAL_GROW;

/* It has no bytes: RLIMIT_FSIZE may allow none, and nothing accesses its mappings. */
static inline int vhu_memfd_sealed_against_writing(void)
{
    int fd = memfd_create("vhushmem-trial", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static inline int vhu_memfd(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

#endif
