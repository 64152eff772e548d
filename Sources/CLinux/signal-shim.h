/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SIGNAL_SHIM_H
#define VHU_SIGNAL_SHIM_H

/*
 * The parts of signal handling that Swift cannot import: the members of siginfo_t and struct
 * sigaction that are macros.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static inline void vhu_set_errno(int error) { errno = error; }

/*
 * The address whose access by the thread in the handler raised a SIGBUS; 0: the signal has another
 * cause (a process sent it, an access was not aligned, or memory went bad that nothing has touched
 * yet).
 */
static inline uintptr_t vhu_sigbus_address(const siginfo_t *info)
{
    if (info->si_signo != SIGBUS || (info->si_code != BUS_ADRERR && info->si_code != BUS_OBJERR &&
                                     info->si_code != BUS_MCEERR_AR)) {
        return 0;
    }
    return (uintptr_t)info->si_addr;
}

/* The same for a SIGSEGV of a missing page, or of one with other rights. */
static inline uintptr_t vhu_sigsegv_address(const siginfo_t *info)
{
    if (info->si_signo != SIGSEGV ||
        (info->si_code != SEGV_MAPERR && info->si_code != SEGV_ACCERR)) {
        return 0;
    }
    return (uintptr_t)info->si_addr;
}

enum { VHU_READ = 0, VHU_WRITE = 1, VHU_UNKNOWN = 2, VHU_FETCH = 3 };

/*
 * The kind of the access that raised a fault, from the ucontext_t of the handler (NULL: there is
 * none).
 */
static inline int vhu_fault_access(const void *context)
{
#if defined(__x86_64__)
    /*
     * The processor's error code (REG_ERR, which is 19): bit 1 is a write, bit 4 the fetch of an
     * instruction.
     */
    if (context != NULL) {
        unsigned long long code =
            (unsigned long long)((const ucontext_t *)context)->uc_mcontext.gregs[19];
        return (code & 16) != 0 ? VHU_FETCH : (code & 2) != 0 ? VHU_WRITE : VHU_READ;
    }
#elif defined(__aarch64__)
    /*
     * Records follow each other: a magic number, a size, and the data. The syndrome's record has
     * its class in bits 26 to 31. Bit 6 is a write, or the maintenance of a cache (bit 8), which
     * writes nothing.
     */
    if (context != NULL) {
        const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
        const unsigned char *record = (const unsigned char *)machine->__reserved;
        size_t left = sizeof(machine->__reserved);
        for (unsigned words[2]; left >= 16; record += words[1], left -= words[1]) {
            memcpy(words, record, sizeof(words));
            if (words[0] == 0 || words[1] < 16 || words[1] > left) {
                break;
            }
            if (words[0] == 0x45535201) {
                unsigned long long syndrome;
                memcpy(&syndrome, record + 8, sizeof(syndrome));
                unsigned class = (unsigned)(syndrome >> 26) & 0x3f;
                return class == 0x20 || class == 0x21  ? VHU_FETCH
                       : (syndrome & (64 | 256)) == 64 ? VHU_WRITE
                                                       : VHU_READ;
            }
        }
    }
#endif
    (void)context;
    return VHU_UNKNOWN;
}

/* Returns 0 or an errno. */
static inline int vhu_unblock_faults(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    sigaddset(&set, SIGSEGV);
    return pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

typedef void (*vhu_signal_handler)(int, siginfo_t *, void *);

/*
 * `previous` receives the signal's former action, and can be used as soon as the handler can be
 * called. A signal that a process sends interrupts system calls as before: the new action has
 * SA_RESTART only if the former one restarted them, or did not interrupt them. (A touched page
 * interrupts none.)
 */
static inline int vhu_handle_sigbus(vhu_signal_handler handler, struct sigaction *previous)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaction(SIGBUS, NULL, previous) != 0) {
        return -1;
    }
    if (previous->sa_handler == SIG_DFL || previous->sa_handler == SIG_IGN ||
        (previous->sa_flags & SA_RESTART) != 0) {
        action.sa_flags |= SA_RESTART;
    }
    action.sa_mask = previous->sa_mask;
    action.sa_sigaction = handler;
    return sigaction(SIGBUS, &action, NULL);
}

/* Whether an instruction raised the signal, and so runs again. */
static inline bool vhu_is_synchronous(const siginfo_t *info)
{
    /*
     * BUS_MCEERR_AO reports memory that went bad and that nothing has touched yet. Signals that
     * processes send have no code above 0.
     */
    return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

/* Ends the process as the default action does. A core dump shows what is known of the signal. */
static inline void vhu_end_by(int number, siginfo_t *info)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(number, &usual, NULL);
    if (vhu_is_synchronous(info)) {
        return; /* the instruction raises it again */
    }
    /*
     * The signal is blocked until the handler returns. Sent to this thread, it arrives first then.
     */
    syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info);
    /*
     * For a filter or a tool that does not know that call. Otherwise the signal above is pending,
     * and the kernel drops this one.
     */
    raise(number);
}

/* Passes a signal on to its former action, as the kernel would. */
static inline void vhu_pass_on(struct sigaction *previous, int number, siginfo_t *info,
                               void *context)
{
    int flags = previous->sa_flags;
    /*
     * Only one thread calls a handler that may be called once. The members of the union have one
     * address.
     */
    void (*handler)(int) =
        (flags & SA_RESETHAND) != 0
            ? __atomic_exchange_n(&previous->sa_handler, SIG_DFL, __ATOMIC_ACQ_REL)
            : previous->sa_handler;
    if (handler == SIG_DFL) {
        vhu_end_by(number, info);
    } else if (handler == SIG_IGN) {
        /*
         * The kernel ends a process whose instruction raised a signal that it ignores. To ignore it
         * here would raise it for ever.
         */
        if (vhu_is_synchronous(info)) {
            sigaction(number, previous, NULL);
        }
    } else {
        if ((flags & SA_NODEFER) != 0) {
            sigset_t itself;
            sigemptyset(&itself);
            sigaddset(&itself, number);
            pthread_sigmask(SIG_UNBLOCK, &itself, NULL);
        }
        if ((flags & SA_SIGINFO) != 0) {
            ((vhu_signal_handler)(uintptr_t)handler)(number, info, context);
        } else {
            handler(number);
        }
    }
}

/*
 * ftruncate beyond RLIMIT_FSIZE raises SIGXFSZ in the calling thread, which ends a program without
 * a handler. Here it only fails, with EFBIG. The limit may change at any moment, so this does not
 * look at it: it blocks the signal, and takes it out if it was not pending before.
 */
static inline int vhu_ftruncate(int fd, off_t length)
{
    sigset_t too_long, before, waiting;
    struct timespec now = {0, 0};
    int result, error;

    sigemptyset(&too_long);
    sigaddset(&too_long, SIGXFSZ);
    sigemptyset(&waiting);
    pthread_sigmask(SIG_BLOCK, &too_long, &before);
    sigpending(&waiting);
    result = ftruncate(fd, length);
    error = errno;
    if (result != 0 && error == EFBIG && !sigismember(&waiting, SIGXFSZ)) {
        while (sigtimedwait(&too_long, NULL, &now) < 0 && errno == EINTR) {}
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return result;
}

#endif
