/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_SANDBOX_H
#define VHUSHMEM_VIRTIOFS_SANDBOX_H

/* Namespaces: the process that serves sees nothing of the host but the shared directory. */

#include <stdbool.h>

#include "options.h"

/**
 * Closes what the program that started this one left open but for standard streams and `kept`: the
 * process that serves is to have nothing that leads elsewhere.
 */
void sandbox_close_others(int kept);

/**
 * Before the fork: a namespace of processes, in which the child is the first, and one of users
 * where it takes one.
 *
 * @returns 0, or a negative errno: there are none.
 */
int sandbox_prepare(void);

/**
 * In the child: namespaces of mounts, network and System V IPC, and a root that has the directory
 * and the process's own list of descriptors, and nothing else.
 *
 * @param path  the shared directory. @param dir   receives it, open for reading, inside the new
 * root. @returns 0, or a negative errno: the root is still the host's.
 */
int sandbox_enter(const char *path, int *dir, bool read_only);

#endif
