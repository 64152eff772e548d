/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_PRIVILEGES_H
#define VHUSHMEM_VIRTIOFS_PRIVILEGES_H

/*
 * What this process may do: limits, capabilities, the filter of system calls, and whose files it
 * makes.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "options.h"

/** Raises RLIMIT_NOFILE to `wanted` (0: up to 1,000,000), as far as it may. @returns the limit. */
uint64_t privileges_raise_nofile(uint64_t wanted);

/**
 * Gives up all capabilities but those that serve the directory, and the way to get any back.
 * @returns 0 or a negative errno.
 */
int privileges_drop(bool use_handles);

/**
 * From now on a system call that is not in the list does what `mode` says. @returns 0 or a negative
 * errno.
 */
int privileges_filter(enum seccomp_mode mode);

/**
 * From here to privileges_as_before, files are made as this user's and group's, if the process may
 * do so; else as its own. A set-group-id bit is kept only by who is of the group.
 *
 * @returns 0, or -EPERM: the kernel does not let the process act for them. Nothing has changed
 * then.
 */
int privileges_as(uid_t uid, gid_t gid);
void privileges_as_before(void);

/**
 * From here to the next call with false, a write takes set-user-id and set-group-id away, as one of
 * a plain user does.
 */
void privileges_kill_suid(bool on);

/** HANDLE_KILLPRIV_V2: who takes set-user-id bits away. */
struct killpriv {
    bool is_forced; /**< --killpriv-v2 */
    bool is_on;     /**< requests say whether they take them; else the guest's kernel does */
};
extern struct killpriv killpriv;

#endif
