/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SIGNAL_SHIM_H
#define VHU_SIGNAL_SHIM_H

/*
 * The parts of signal handling that Swift can't import: the members of siginfo_t and struct sigaction that are macros.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void vhu_set_errno(int error) { errno = error; }

/*
 * The address whose access raised a SIGBUS, by the thread that is in the handler; 0: the signal tells of something else (somebody sent
 * it, an access was not aligned, or memory went bad that nobody has touched yet).
 */
static inline uintptr_t vhu_sigbus_address(const siginfo_t *info)
{
    if (info->si_signo != SIGBUS ||
        (info->si_code != BUS_ADRERR && info->si_code != BUS_OBJERR && info->si_code != BUS_MCEERR_AR)) {
        return 0;
    }
    return (uintptr_t)info->si_addr;
}

typedef void (*vhu_signal_handler)(int, siginfo_t *, void *);

/* Whoever had the signal before gets it back in `previous` before the handler can be called. */
static inline int vhu_handle_sigbus(vhu_signal_handler handler, struct sigaction *previous)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    if (sigaction(SIGBUS, NULL, previous) != 0) {
        return -1;
    }
    action.sa_mask = previous->sa_mask;
    action.sa_sigaction = handler;
    return sigaction(SIGBUS, &action, NULL);
}

/*
 * Hands a signal on. The default ends the process: at once where the instruction runs again, and for a signal that was sent, when
 * the handler returns.
 */
static inline void vhu_pass_on(const struct sigaction *previous, int number, siginfo_t *info, void *context)
{
    if ((previous->sa_flags & SA_SIGINFO) != 0) {
        previous->sa_sigaction(number, info, context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(number);
    } else if (previous->sa_handler == SIG_DFL || info->si_code > 0) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(number, &usual, NULL);
        if (info->si_code <= 0) {
            raise(number);
        }
    }
}

#endif
