/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * The filter of system calls. It allows the calls that libvhushmem needs for a back-end (docs/security.md), the calls that
 * serve the directory, and those that the C library needs for both. No allowed call makes a process, a socket, a namespace or
 * executable memory, or has an effect on another process.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "privileges.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <glib.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static const int allowed[] = {
    /* libvhushmem */
    SYS_accept4,
    SYS_close,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_fcntl,
    SYS_fstatfs,
    SYS_ftruncate,
    SYS_getpeername,
    SYS_getpid,
    SYS_getsockopt,
    SYS_gettid,
    SYS_io_destroy,
    SYS_io_getevents,
    SYS_io_setup,
    SYS_io_submit,
    SYS_madvise,
    SYS_memfd_create,
    SYS_mremap,
    SYS_msync,
    SYS_munmap,
    SYS_ppoll,
    SYS_preadv2,
    SYS_prlimit64,
    SYS_read,
    SYS_readlinkat,
    SYS_recvmsg,
    SYS_rt_sigaction,
    SYS_rt_sigpending,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sendmsg,
    SYS_sendto,
    SYS_set_robust_list,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_statx,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_unlinkat,
    SYS_write,
    SYS_newfstatat,
    SYS_exit,
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
    /* the shared directory */
    SYS_openat2,
    SYS_openat,
    SYS_preadv,
    SYS_pwritev2,
    SYS_pwritev,
    SYS_lseek,
    SYS_fallocate,
    SYS_copy_file_range,
    SYS_fsync,
    SYS_fdatasync,
    SYS_syncfs,
    SYS_getdents64,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_renameat2,
    SYS_renameat,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_utimensat,
    SYS_getxattr,
    SYS_setxattr,
    SYS_listxattr,
    SYS_removexattr,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_capset,
    SYS_dup,
    SYS_dup3,
    /* the C library */
    SYS_brk,
    SYS_exit_group,
    SYS_futex,
    SYS_fstat,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_restart_syscall,
    SYS_sigaltstack,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_writev,
    SYS_geteuid,
    SYS_getegid,
    SYS_getuid,
    SYS_getgid,
    SYS_set_tid_address,
    SYS_sysinfo,
/* newer kernels have these only under other names */
#ifdef __x86_64__
    SYS_epoll_wait,
    SYS_poll,
    SYS_readlink,
    SYS_unlink,
    SYS_open,
#endif
};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define IF_EQUAL(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)
#define IF_ANY(bits, skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(bits), 0, skip)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(value))
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)

/** Write 5 instructions at `at`. The call `nr` is allowed if its argument has none of the bits, else refused. */
static size_t allow_without(struct sock_filter *at, int nr, size_t low_half, uint32_t bits)
{
    const struct sock_filter part[] = {
        IF_EQUAL(nr, 4),           BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low_half), IF_ANY(bits, 1), REFUSE,
        RETURN(SECCOMP_RET_ALLOW),
    };

    memcpy(at, part, sizeof(part));
    return G_N_ELEMENTS(part);
}

/** The same. It is allowed if its argument is `value`. */
static size_t allow_only(struct sock_filter *at, int nr, size_t low_half, uint32_t value)
{
    const struct sock_filter part[] = {
        IF_EQUAL(nr, 4), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low_half), IF_EQUAL(value, 1), RETURN(SECCOMP_RET_ALLOW),
        REFUSE,
    };

    memcpy(at, part, sizeof(part));
    return G_N_ELEMENTS(part);
}

/** The same. It is allowed if its argument has a bit. */
static size_t allow_with(struct sock_filter *at, int nr, size_t low_half, uint32_t bit)
{
    const struct sock_filter part[] = {
        IF_EQUAL(nr, 4), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low_half), IF_ANY(bit, 1), RETURN(SECCOMP_RET_ALLOW),
        REFUSE,
    };

    memcpy(at, part, sizeof(part));
    return G_N_ELEMENTS(part);
}

/** A process may ask for its personality. It may set one in which readable memory cannot be executed. */
static size_t allow_personality(struct sock_filter *at, size_t low_half)
{
    const struct sock_filter part[] = {
        IF_EQUAL(SYS_personality, 6), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)low_half),
        IF_EQUAL(0xffffffff, 1),      RETURN(SECCOMP_RET_ALLOW),
        IF_ANY(READ_IMPLIES_EXEC, 1), REFUSE,
        RETURN(SECCOMP_RET_ALLOW),
    };

    memcpy(at, part, sizeof(part));
    return G_N_ELEMENTS(part);
}

#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + 8 * (n))

int privileges_filter(enum seccomp_mode mode)
{
#ifdef ARCHITECTURE
    const uint32_t otherwise = mode == SECCOMP_LOG ? SECCOMP_RET_LOG : SECCOMP_RET_KILL_PROCESS;
    const struct sock_filter begin[] = {
        LOAD(arch), IF_EQUAL(ARCHITECTURE, 1), BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr),
    };
    static const int of_this_process[] = {SYS_process_vm_readv, SYS_process_vm_writev, SYS_tgkill, SYS_rt_tgsigqueueinfo};
    struct sock_filter code[2 * G_N_ELEMENTS(allowed) + 80];
    struct sock_fprog program = {.filter = code};
    size_t at = G_N_ELEMENTS(begin);

    if (mode == SECCOMP_NONE) {
        return 0;
    }
    memcpy(code, begin, sizeof(begin));
    for (size_t i = 0; i < G_N_ELEMENTS(allowed); i++) {
        code[at++] = (struct sock_filter)IF_EQUAL(allowed[i], 1);
        code[at++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    }
    at += allow_without(code + at, SYS_mmap, ARGUMENT(2), PROT_EXEC);
    at += allow_without(code + at, SYS_mprotect, ARGUMENT(2), PROT_EXEC);
    at += allow_only(code + at, SYS_ioctl, ARGUMENT(1), FIONREAD);
    at += allow_only(code + at, SYS_prctl, ARGUMENT(0), PR_SET_NAME);
    for (size_t i = 0; i < G_N_ELEMENTS(of_this_process); i++) {
        at += allow_only(code + at, of_this_process[i], ARGUMENT(0), (uint32_t)getpid());
    }
    /*
     * A thread, and no process: the kernel gives a thread no namespace of processes or users. A filter cannot see the flags of
     * clone3, so that is refused, and the C library uses clone.
     */
    at += allow_personality(code + at, ARGUMENT(0));
    at += allow_with(code + at, SYS_clone, ARGUMENT(0), CLONE_THREAD);
    code[at++] = (struct sock_filter)IF_EQUAL(SYS_clone3, 1);
    code[at++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | ENOSYS);
    code[at++] = (struct sock_filter)RETURN(otherwise);
    program.len = (unsigned short)at;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0 ? -errno : 0;
#else
    (void)mode;
    return mode == SECCOMP_NONE ? 0 : -EOPNOTSUPP;
#endif
}
