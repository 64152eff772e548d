/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_SANDBOX_H
#define VHUSHMEM_VIRTIOFS_SANDBOX_H

/* Namespaces: the process that serves sees nothing of the host except the shared directory. */

#include <stdbool.h>

#include "options.h"

/**
 * Close all descriptors that the parent program left open, except standard streams and `kept`. So
 * the process that serves has nothing that leads elsewhere.
 */
void sandbox_close_others(int kept);

/**
 * Call it before the fork. It makes a namespace of processes, in which the child is the first, and
 * one of users if it needs one.
 *
 * @returns 0, or a negative errno: there are none.
 */
int sandbox_prepare(void);

/**
 * Call it in the child. It makes namespaces of mounts, network and System V IPC, and a root with
 * only the directory and the process's own list of descriptors.
 *
 * @param path  the shared directory.
 * @param dir   receives it, open for reading, inside the new root.
 * @returns 0, or a negative errno: the root is still the host's.
 */
int sandbox_enter(const char *path, int *dir, bool read_only);

#endif
