/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_LINUX_SHIM_H
#define VHUSHMEM_LINUX_SHIM_H

#ifndef __linux__
#error "libvhushmem supports only Linux: it needs memfd, eventfd, epoll and vm.max_map_count"
#endif

/*
 * The headers of CLinux have the parts of the C library that Swift cannot import: macros that are
 * functions (CMSG_*, S_IS*), constants that are casts (MAP_FAILED), variadic functions (fcntl,
 * prctl), names behind _GNU_SOURCE, and atomics on memory that Swift holds by pointer. This header
 * includes the C library for all of them.
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

static inline int vhu_errno(void) { return errno; }
static inline const char *vhu_strerrordesc(int error)
{
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}

#endif
