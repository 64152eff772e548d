/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GUARD_H
#define VHUSHMEM_GUARD_H

/**
 * @file
 * What keeps a process alive when the memory that it was given is taken away again.
 *
 * Whoever owns a file may truncate it while others have it mapped. The kernel then raises SIGBUS in each thread that touches a page that
 * is gone, which ends the process. A back-end can do that to a VMM whose threads read a window (a guest's access comes as a fault of its
 * vCPU: vhushmem_resolve_guest_fault), and a front-end can do it to a device that reads guest memory.
 *
 * With the guard the page becomes memory of zeros, and the instruction runs again. In a window, the mapping is then broken: the event
 * BROKEN tells the program, vhushmem_mapping_info and the status show it, and everything else in the window is as it was. In a device, the
 * connection to the front-end ends.
 *
 * The library installs no signal handler unless vhushmem_guard_install is called. A program that has one of its own calls
 * vhushmem_guard_handle_sigbus from it.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * To be called first in a handler of SIGBUS that was installed with SA_SIGINFO.
 *
 * It makes the page that was touched one that can be touched: zeros in the place of what the file has lost, from there to the end of the
 * mapping, or of that page alone while the mapping's end is there; a copy in the place of a page that can be read and not written (its
 * file system is full). It may wait for the storage of a file, as the access itself would.
 *
 * Async-signal-safe in the thread that was signalled: it allocates nothing and leaves errno as it was. It takes locks of the library's,
 * which that thread can't hold: the library itself never touches such memory with a lock held.
 *
 * @param info  the siginfo_t that the handler got. (It is no type of plain C99, which this header keeps to.)
 * @returns true: return from the handler, and the instruction runs again; false: the signal is none of this library's (another address,
 *          or one that somebody sent), or nothing could be put there (no memory, the budget of mappings is used up); or info is NULL.
 * Thread rule: any thread, in a signal handler.  Since: 0.1
 */
VHUSHMEM_API bool vhushmem_guard_handle_sigbus(const void *info);

/**
 * Install a handler of SIGBUS for the process that does so, for programs that have none. What is not this library's it hands to the
 * handler that was there before, or, where there was none, lets end the process as without it. Once for the life of the process: a
 * second call does nothing. A handler that the program installs later takes its place, and calls vhushmem_guard_handle_sigbus itself.
 *
 * It runs on the alternative stack of a thread that has one (SA_ONSTACK).
 *
 * @param errp  receives the error.
 * @returns 0, or what sigaction fails with.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_guard_install(GError **errp);

G_END_DECLS

#endif
