/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_LINUX_SHIM_H
#define VHUSHMEM_LINUX_SHIM_H

#ifndef __linux__
#error "libvhushmem supports Linux alone: it needs memfd, eventfd, epoll and vm.max_map_count"
#endif

/*
 * The parts of the C library that Swift cannot import: macros that are functions (CMSG_*, S_IS*),
 * constants that are casts (MAP_FAILED), variadic functions (fcntl, prctl), names behind
 * _GNU_SOURCE, and atomics on memory that Swift holds by pointer.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/stat.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * The C library declares these only under _GNU_SOURCE. This header cannot define that: the C
 * library's structs would look different here than in the module Glibc (a member of fd_set has
 * another name), and no program could import both.
 */
#ifndef _GNU_SOURCE
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int memfd_create(const char *name, unsigned int flags);
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
void *mremap(void *address, size_t old_length, size_t new_length, int flags, ...);
ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                         const struct iovec *remote, unsigned long remote_count,
                         unsigned long flags);
ssize_t process_vm_writev(pid_t pid, const struct iovec *local, unsigned long local_count,
                          const struct iovec *remote, unsigned long remote_count,
                          unsigned long flags);
const char *strerrordesc_np(int error);
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW 0x0004
#define F_SEAL_WRITE 0x0008
#endif
#define VHU_SCM_PIDFD 4 /* missing from older headers */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#define MFD_ALLOW_SEALING 0x0002U
#endif
#ifndef MREMAP_MAYMOVE
#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#endif

/*
 * Advice for several ranges of the calling process. Newer kernels know the process by this number;
 * others answer EBADF, EINVAL or ENOSYS.
 */
#define VHU_THIS_PROCESS (-10001)
static inline ssize_t vhu_advise_many(const struct iovec *ranges, size_t count, int advice)
{
    return syscall(SYS_process_madvise, VHU_THIS_PROCESS, ranges, count, advice, 0);
}

/* ---- atomics ---- */

static inline uint64_t vhu_load_relaxed(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void vhu_prefetch(const uint64_t *p) { __builtin_prefetch(p); }
static inline uint64_t vhu_load_acquire(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline void vhu_store_relaxed(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}
static inline void vhu_store_release(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}
static inline void vhu_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void vhu_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

/* ---- virtqueues: memory that a driver changes at any moment; each word is read once ---- */

static inline uint16_t vhu_load16_relaxed(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}
static inline uint32_t vhu_load32_relaxed(const void *p)
{
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}
static inline uint16_t vhu_load16_acquire(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}
static inline void vhu_store16_relaxed(void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED);
}
static inline void vhu_store16_release(void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
}
static inline void vhu_store32_relaxed(void *p, uint32_t v)
{
    __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED);
}
static inline void vhu_or8(void *p, uint8_t bits)
{
    __atomic_fetch_or((uint8_t *)p, bits, __ATOMIC_SEQ_CST);
}
static inline void vhu_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

struct vhu_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};
/* The chains that a back-end has begun, with the order in which it did. */
struct vhu_begun {
    uint64_t counter;
    uint16_t head;
};
static inline int vhu_compare_begun(const void *left, const void *right)
{
    uint64_t l = ((const struct vhu_begun *)left)->counter,
             r = ((const struct vhu_begun *)right)->counter;
    return l < r ? -1 : l > r;
}
static inline void vhu_sort_begun(struct vhu_begun *begun, size_t count)
{
    qsort(begun, count, sizeof(*begun), vhu_compare_begun);
}
/* Checks and uses the same copy. `at` need not be aligned. */
static inline struct vhu_descriptor vhu_descriptor_at(const void *at)
{
    struct vhu_descriptor copy;
    memcpy(&copy, at, sizeof(copy));
    __asm__ volatile("" : "+m"(copy)); /* the compiler must not read the original again */
    return copy;
}

/*
 * Reads the whole count of an eventfd. The front-end has the descriptor too: it may have read it
 * meanwhile, and may have cleared its O_NONBLOCK.
 */
static inline ssize_t vhu_read_count(int fd)
{
    uint64_t count;
    struct iovec all = {.iov_base = &count, .iov_len = sizeof(count)};
    ssize_t result = preadv2(fd, &all, 1, -1, RWF_NOWAIT);
    /* the answer of a seccomp filter; the eventfds of Linux 5.8 and later support this */
    if (result < 0 && errno == ENOSYS) {
        struct pollfd target = {.fd = fd, .events = POLLIN};
        if (poll(&target, 1, 0) == 1 && target.revents == POLLIN) {
            return read(fd, &count, sizeof(count));
        }
        errno = EAGAIN;
    }
    return result;
}

/* ---- signals of the kernel's (System/EventSignal.swift alone uses them) ---- */

static inline int vhu_signal_setup(unsigned long *context)
{
    enum { AT_ONCE = 64 };
    return (int)syscall(SYS_io_setup, AT_ONCE, context);
}
static inline int vhu_signal_end(unsigned long context)
{
    return (int)syscall(SYS_io_destroy, context);
}
static inline int vhu_submit(unsigned long context, struct iocb *operation)
{
    int result = (int)syscall(SYS_io_submit, context, 1, &operation);
    if (result < 0 && errno == EAGAIN) { /* the results of the reads must be taken now and then */
        struct io_event results[64];
        struct timespec now = {0, 0};
        while (syscall(SYS_io_getevents, context, 0, 64, results, &now) == 64) {}
        result = (int)syscall(SYS_io_submit, context, 1, &operation);
    }
    return result;
}
/*
 * Has the kernel signal an eventfd when a read of no bytes is done, which is at once. EINVAL,
 * EBADF: it is no eventfd.
 */
static inline int vhu_signal(unsigned long context, int fd)
{
    struct iocb read_nothing;
    memset(&read_nothing, 0, sizeof(read_nothing));
    read_nothing.aio_lio_opcode = IOCB_CMD_PREAD;
    read_nothing.aio_fildes = (uint32_t)fd;
    read_nothing.aio_flags = IOCB_FLAG_RESFD;
    read_nothing.aio_resfd = (uint32_t)fd;
    return vhu_submit(context, &read_nothing);
}
/*
 * Asks for a signal that is impossible, because the flags of its read are invalid. EOPNOTSUPP: it
 * is an eventfd; EINVAL, EBADF: it is none.
 */
static inline int vhu_refused_signal(unsigned long context, int fd)
{
    struct iocb no_read;
    memset(&no_read, 0, sizeof(no_read));
    no_read.aio_lio_opcode = IOCB_CMD_PREAD;
    no_read.aio_fildes = (uint32_t)fd;
    no_read.aio_flags = IOCB_FLAG_RESFD;
    no_read.aio_resfd = (uint32_t)fd;
    no_read.aio_rw_flags = 1 << 30;
    return vhu_submit(context, &no_read);
}

/* ---- errno, files ---- */

static inline int vhu_errno(void) { return errno; }
static inline const char *vhu_strerrordesc(int error)
{
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}
static inline int vhu_fcntl_get_seals(int fd) { return fcntl(fd, F_GET_SEALS); }
static inline int vhu_fcntl_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }
static inline int vhu_fcntl_get_flags(int fd) { return fcntl(fd, F_GETFL); }
/* For a socket that the program gave: no accept waits, and no executed program inherits it. */
static inline int vhu_make_listener(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1
                                                                   : fcntl(fd, F_SETFD, FD_CLOEXEC);
}
static inline int vhu_fcntl_dupfd_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

static inline int vhu_open_read_only(const char *path) { return open(path, O_RDONLY | O_CLOEXEC); }
/*
 * Opens the file of an open descriptor once more, for reading alone. With O_NONBLOCK this does not
 * wait for a lease on it (F_SETLEASE).
 */
static inline int vhu_reopen_read_only(int fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static inline bool vhu_is_regular(uint32_t mode) { return S_ISREG(mode); }
static inline bool vhu_is_directory(uint32_t mode) { return S_ISDIR(mode); }
static inline bool vhu_is_fifo(uint32_t mode) { return S_ISFIFO(mode); }
/* The used fields of statx alone, so that the rest need not be zeroed first. */
struct vhu_file_status {
    /* device: both numbers of it, side by side. */
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
/* Bytes that a file has in memory or on its disk, or -1. */
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
/* F_SEAL_FUTURE_WRITE, missing from older headers */
static const int vhu_seal_future_write = 0x0010;
static const int vhu_seal_shrink = F_SEAL_SHRINK;
static const int vhu_seal_size = F_SEAL_SHRINK | F_SEAL_GROW;

/* It has no bytes: nothing touches its mappings, and RLIMIT_FSIZE may allow none. */
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

/* ---- memory ---- */

/* Missing from older headers. */
static const int vhu_madv_populate_read = 22;
static const int vhu_madv_populate_write = 23;
static const int vhu_ehwpoison = EHWPOISON;
#ifdef MAP_FIXED_NOREPLACE
static const int vhu_map_fixed_noreplace = MAP_FIXED_NOREPLACE;
#else
static const int vhu_map_fixed_noreplace = 0x100000;
#endif

static inline void *vhu_mremap_over(void *from, size_t length, void *to)
{
    return mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

/* With an old length of 0 the old mapping stays, and the same pages are mapped once more. */
static inline void *vhu_mremap_duplicate(void *from, size_t length)
{
    return mremap(from, 0, length, MREMAP_MAYMOVE);
}

/*
 * Whether private memory, which others may be writing to, has only zeros: whole words at an aligned
 * address.
 */
__attribute__((no_sanitize("thread"))) static inline bool vhu_is_zero(const void *memory,
                                                                      size_t length)
{
    const volatile uint64_t *words = (const volatile uint64_t *)memory;
    for (size_t i = 0; i < length / sizeof(*words); i++) {
        if (words[i] != 0) {
            return false;
        }
    }
    return true;
}

static const int vhu_read_implies_exec = READ_IMPLIES_EXEC;
/* A number that is no personality asks for the present one. */
static inline int vhu_personality(void) { return personality(0xffffffff); }
static inline int vhu_set_personality(int persona) { return personality((unsigned int)persona); }

/* ---- sockets ---- */

#define VHU_MAX_FDS 8
/*
 * As many as the kernel lets a message carry. The kernel closes those without room at once, in the
 * receiving thread. The socket options SO_PASSCRED, SO_PASSPIDFD and SO_PASSSEC add more, if
 * another owner of the socket has set them.
 */
#define VHU_MOST_FDS 253
#define VHU_CONTROL_SPACE 2048

/*
 * Other control messages. That of SO_PASSPIDFD has a descriptor of the kernel, or a negative errno;
 * its close does not wait.
 */
__attribute__((noinline)) static void vhu_drop_control(const struct cmsghdr *c)
{
    int fd;
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == VHU_SCM_PIDFD &&
        c->cmsg_len >= CMSG_LEN(sizeof(fd))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (fd >= 0) {
            close(fd);
        }
    }
}

/*
 * The descriptors of a message, as far as there is room: as many as it may carry, and one more, to
 * notice when there are more.
 */
struct vhu_fds {
    int count;      /* of those in fds */
    int more_count; /* of those in more */
    int *more;      /* the others, usually none; the caller must close them, and free this */
    int fds[VHU_MAX_FDS + 1];
};
static inline int *vhu_first_fd(struct vhu_fds *fds) { return fds->fds; }

/*
 * Adds several descriptors, or those of several control messages. It closes those that it has no
 * memory for.
 */
__attribute__((noinline)) static void vhu_add_fds(struct vhu_fds *into, const struct cmsghdr *c,
                                                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
        if (into->count < VHU_MAX_FDS + 1) {
            into->fds[into->count++] = fd;
            continue;
        }
        if (into->more == NULL) {
            into->more = (int *)malloc(VHU_MOST_FDS * sizeof(int));
        }
        if (into->more == NULL || into->more_count == VHU_MOST_FDS) {
            close(fd);
        } else {
            into->more[into->more_count++] = fd;
        }
    }
}

/*
 * Makes one recvmsg that never waits, and returns its result. *fds, which was empty, receives the
 * descriptors that came; *truncated tells whether some were lost.
 */
static inline ssize_t vhu_recvmsg(int socket, void *bytes, size_t capacity, struct vhu_fds *fds,
                                  bool *truncated)
{
    union {
        char bytes[VHU_CONTROL_SPACE];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *truncated = false;
    if (got < 0) {
        return got;
    }
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            vhu_drop_control(c);
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (n == 1 && fds->count == 0) { /* as a rule */
            memcpy(fds->fds, CMSG_DATA(c), sizeof(int));
            fds->count = 1;
            continue;
        }
        vhu_add_fds(fds, c, n);
    }
    return got;
}

/*
 * Makes one sendmsg that never waits and never raises SIGPIPE. The descriptors travel with the
 * first byte.
 */
static inline ssize_t vhu_sendmsg(int socket, const void *bytes, size_t length, const int *fds,
                                  int count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * VHU_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > VHU_MAX_FDS) {
        errno = EINVAL;
        return -1;
    }
    if (count == 0) { /* so that the kernel has less to check */
        return send(socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    memset(&control, 0, sizeof(control));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * Swift sees sun_path as a tuple, so C fills the address. Returns its length, or 0: the path does
 * not fit.
 */
/*
 * The first byte of an abstract name is a zero, however the path writes it; only the length tells
 * where the name ends. 0: it is too long.
 */
static inline socklen_t vhu_unix_address(struct sockaddr_un *address, const void *path,
                                         size_t length, bool is_abstract)
{
    size_t room = sizeof(address->sun_path) - (is_abstract ? 0 : 1);
    if (length == 0 || length > room) {
        return 0;
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (is_abstract) {
        address->sun_path[0] = 0;
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (is_abstract ? 0 : 1));
}
static inline int vhu_open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
static inline int vhu_try_lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }
static inline int vhu_bind(int fd, const struct sockaddr_un *address, socklen_t length)
{
    return bind(fd, (const struct sockaddr *)address, length);
}
static inline int vhu_connect(int fd, const struct sockaddr_un *address, socklen_t length)
{
    return connect(fd, (const struct sockaddr *)address, length);
}
static inline int vhu_unix_stream_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
static inline int vhu_unix_datagram_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
static inline int vhu_socketpair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}
static inline int vhu_accept(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
/* An enumeration in the C library, which Swift does not accept as an int. */
static const int vhu_sock_stream = SOCK_STREAM;
/* Returns the integer socket option, or a negative errno. */
static inline int vhu_socket_option(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -errno;
}
/*
 * Bytes that are sent with MSG_OOB arrive in their place. Otherwise the kernel drops them in the
 * receiving thread, with their descriptors.
 */
static inline int vhu_take_out_of_band(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}
/* Whether the socket has a peer, or had one. */
static inline bool vhu_is_connected(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}
/* From now on, messages with descriptors fail at the sender. */
static inline int vhu_refuse_descriptors(int fd)
{
    enum { PASSRIGHTS = 83 }; /* SO_PASSRIGHTS, missing from older headers */
    int off = 0;
    return setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &off, sizeof(off));
}
static inline int vhu_shutdown(int fd) { return shutdown(fd, SHUT_RDWR); }
/* How many bytes wait to be read. */
static inline int vhu_readable_bytes(int fd)
{
    int bytes = 0;
    return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -errno;
}

/* ---- waiting ---- */

static const int vhu_eventfd_flags = EFD_CLOEXEC | EFD_NONBLOCK;
static const int vhu_epoll_flags = EPOLL_CLOEXEC;
static const int vhu_timerfd_flags = TFD_CLOEXEC | TFD_NONBLOCK;
static inline int vhu_epoll_control(int epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.fd = fd}};
    return epoll_ctl(epoll, operation, fd, &event);
}
static inline int vhu_epoll_add_tagged(int epoll, int fd, uint32_t tag, bool once)
{
    struct epoll_event event = {.events = EPOLLIN | (once ? EPOLLET : 0), .data = {.u32 = tag}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}
/* Stores the tags of readable descriptors, at most 64, and returns their number. Never waits. */
static inline int vhu_epoll_ready_tags(int epoll, uint32_t tags[64])
{
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, 0);
    for (int i = 0; i < count; i++) {
        tags[i] = events[i].data.u32;
    }
    return count;
}
/* Arms a timerfd to become readable at a time of CLOCK_MONOTONIC in microseconds; 0 disarms it. */
static inline int vhu_timerfd_set(int fd, uint64_t deadline)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(deadline / 1000000),
                                           .tv_nsec = (long)(deadline % 1000000) * 1000}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}
static inline uint64_t vhu_monotonic_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- threads (System/Closer.swift and Region/OrphanedRegions.swift alone use them) ---- */

/* Starts a detached thread, with a small stack and every signal blocked. -1: errno says why not. */
static inline int vhu_start_thread(void *(*run)(void *))
{
    enum { STACK = 128 << 10 };
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK);
    int error = pthread_create(&thread, &attributes, run, NULL);
    if (error == EINVAL) { /* the program has more thread-local memory than that */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, run, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    errno = error;
    return error == 0 ? 0 : -1;
}
/* How many descriptors this process may have open, or -1. */
static inline int64_t vhu_open_files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return -1;
    }
    return limit.rlim_cur < INT64_MAX ? (int64_t)limit.rlim_cur : INT64_MAX;
}
static inline void vhu_name_thread(const char *name) { prctl(PR_SET_NAME, name); }
static inline void vhu_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(prepare, parent, child);
}

/* ---- what a thread has open (Series/MemoryTransaction.swift alone uses it) ---- */

struct vhu_transaction {
    unsigned depth;
    void *pending;
};
static inline struct vhu_transaction *vhu_thread_transaction(void)
{
    static __thread struct vhu_transaction transaction;
    return &transaction;
}

/* ---- whose turn it is in the calling thread's loop (Transport/Turn.swift alone uses it) ---- */

/* How many turns there were. */
static inline uint32_t *vhu_turns(void)
{
    static __thread uint32_t turns;
    return &turns;
}

static inline uint32_t vhu_next_turn(void) { return ++*vhu_turns(); }

#endif
