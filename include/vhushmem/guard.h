/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GUARD_H
#define VHUSHMEM_GUARD_H

/**
 * @file
 * The guard keeps a process alive when a peer takes away memory that it gave to the process.
 *
 * The owner of a file may truncate it while other processes have it mapped. The kernel then raises
 * SIGBUS in each thread that touches a lost page, and that ends the process. So a back-end can end
 * a VMM whose threads read a window, and a front-end can end a device that reads guest memory. (A
 * guest's own access comes as a fault of its vCPU: vhushmem_resolve_guest_fault.)
 *
 * With the guard the page shows zeros, and the instruction runs again. In a window the zeros stay
 * for at least ten milliseconds. Then the window shows the file again: a thread that touches the
 * page finds the file's bytes, or gets zeros once more. The library shows the file again on these
 * occasions:
 *
 *  - a thread touches the next page that its file lacks;
 *  - the program calls vhushmem_region_read, vhushmem_region_write or vhushmem_region_heal;
 *  - a front-end or a channel of the device is dispatched. Their loops are woken for it.
 *
 * Until then a reader sees zeros even if the file has grown. Writes to a page that the file never
 * had are lost. Writes to a page that the file had stay until the library sees that the file has
 * the page again: its file system may be full. At most VHUSHMEM_MAX_SCRATCH_PAGES pages of a region
 * show zeros in this way; the oldest makes room for the newest.
 *
 * A mapping is broken when it lacks a page that its file had when it was mapped. The event BROKEN
 * tells the program, vhushmem_mapping_info and the status show it, and everything else in the
 * window stays as it was. When the file has its pages again, the mapping is whole and the event
 * HEALED tells so. A page beyond the end of a file that never was so long
 * (VHUSHMEM_FD_ALLOW_BEYOND_END) breaks nothing.
 *
 * Some pages do not come back before they are unmapped: huge pages, memfds that are mapped
 * privately, and memory of devices. There, zeros replace all that follows the page in its mapping.
 * Pages that take no writes (their file system is full) do not come back either: a copy replaces
 * them.
 *
 * In a device, memory that a front-end gave goes as a whole, and the connection to the front-end
 * ends.
 *
 * The library installs no signal handler unless the program calls vhushmem_guard_install. A program
 * that has a handler calls vhushmem_guard_handle_sigbus from it.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * Handle a SIGBUS. Call this function first in a handler that was installed with SA_SIGINFO.
 *
 * The function replaces the touched page: by zeros if the file lacks the page, or by a copy if the
 * page can be read and not written (its file system is full). It may wait for the storage of a
 * file, as the access itself would. If the mapping has gone meanwhile and its hole can be read, it
 * changes nothing. If it cannot replace a single page (the budget of mappings is used up, or 64
 * pages of the region must stay already), zeros replace all that follows in the mapping, or the
 * whole mapping, for the rest of the mapping's life.
 *
 * If SIGBUS is blocked, the function does not help: the kernel then ends the process without
 * calling a handler.
 *
 * The function is async-signal-safe in the thread that got the signal: it allocates nothing and
 * leaves errno as it was. It takes locks of the library. That thread cannot hold them, because the
 * library never touches such memory with a lock held.
 *
 * @param info  the siginfo_t that the handler got. (It is no type of plain C99, which this header
 *              keeps to.)
 * @returns true: return from the handler, and the instruction runs again; false: the signal does
 *          not concern this library (another address, or a process sent it), or nothing could be
 *          put there (no memory), or info is NULL.
 * Thread rule: any thread, in a signal handler.  Since: 0.9
 */
VHUSHMEM_API bool vhushmem_guard_handle_sigbus(const void *info) VHUSHMEM_CHECK_RESULT;

/**
 * Handle a SIGSEGV. Call this function first in a handler that was installed with SA_SIGINFO, if
 * the VMM touches windows with plain loads and stores of its own: a translator of guest code, or a
 * device that copies from guest memory.
 *
 * If a guest under KVM touches a hole or a read-only mapping, there is an exit (fault.h). Such a
 * thread gets this signal instead. After a read of a hole, all holes of the region show zeros. A
 * write, to a hole or to a read-only mapping, goes to a scratch page, which neither the file nor
 * the back-end sees. The limits are those of vhushmem_resolve_guest_fault. Instructions are not
 * fetched from windows.
 *
 * If SIGSEGV is blocked, the function does not help: the kernel then ends the process without
 * calling a handler.
 *
 * It is async-signal-safe, as vhushmem_guard_handle_sigbus is.
 *
 * @param info     the siginfo_t that the handler got.
 * @param context  the ucontext_t that the handler got, which tells a read from a write; NULL: every
 *                 access counts as a possible write.
 * @returns true: return from the handler, and the instruction runs again; false: the signal does
 *          not concern this library, or nothing could be put there (the limits; no memory), or info
 *          is NULL.
 * Thread rule: any thread, in a signal handler.  Since: 0.9
 */
VHUSHMEM_API bool vhushmem_guard_handle_sigsegv(const void *info,
                                                const void *context) VHUSHMEM_CHECK_RESULT;

/**
 * Have the kernel deliver SIGBUS and SIGSEGV to the calling thread. Some programs, QEMU among them,
 * block all signals in the threads that they make. If an instruction raises a blocked signal, the
 * kernel ends the process even if there is a handler.
 *
 * @param errp  receives the error.
 * @returns 0, or what pthread_sigmask fails with.
 * Thread rule: any thread; the call concerns that thread, and the threads that it makes later.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_guard_unblock_signals(GError **errp);

/**
 * Install a handler of SIGBUS for the process, if the program has none. The handler passes every
 * other SIGBUS to the handler that was there before. If there was none, such a signal ends the
 * process as usual. The handler stays for the life of the process: a second call does nothing. A
 * handler that the program installs later replaces it, and must call vhushmem_guard_handle_sigbus
 * itself.
 *
 * The handler runs on the alternative stack of a thread that has one (SA_ONSTACK).
 *
 * @param errp  receives the error.
 * @returns 0, or what sigaction fails with.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_guard_install(GError **errp);

G_END_DECLS

#endif
