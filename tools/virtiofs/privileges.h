/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_PRIVILEGES_H
#define VHUSHMEM_VIRTIOFS_PRIVILEGES_H

/*
 * The rights of this process: limits, capabilities, the filter of system calls, and the owner of
 * the files that it makes.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "options.h"

/** Raise RLIMIT_NOFILE to `wanted` (0: up to 1,000,000), as far as possible. @returns the limit. */
uint64_t privileges_raise_nofile(uint64_t wanted);

/**
 * Give up all capabilities except those that serve the directory, and each way to get one back.
 * @returns 0 or a negative errno.
 */
int privileges_drop(bool use_handles);

/**
 * From now on, a system call that is not in the list does what `mode` says. @returns 0 or a
 * negative errno.
 */
int privileges_filter(enum seccomp_mode mode);

/**
 * From now on until privileges_as_before, new files belong to this user and group if the kernel
 * allows it; else to the process's own. A set-group-id bit stays only if the user is in the group.
 *
 * @returns 0, or -EPERM: the kernel does not let the process act for them. Then nothing has
 * changed.
 */
int privileges_as(uid_t uid, gid_t gid);
void privileges_as_before(void);

/**
 * From now on until the next call with false, a write removes set-user-id and set-group-id, like a
 * write of a plain user.
 */
void privileges_kill_suid(bool on);

/** HANDLE_KILLPRIV_V2: who removes set-user-id bits. */
struct killpriv {
    bool is_forced; /**< --killpriv-v2 */
    bool is_on;     /**< each request says whether it removes them; else the guest's kernel does */
};
extern struct killpriv killpriv;

#endif
