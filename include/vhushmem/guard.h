/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GUARD_H
#define VHUSHMEM_GUARD_H

/**
 * @file
 * What keeps a process alive when the memory that it was given is taken away again.
 *
 * Whoever owns a file may truncate it while others have it mapped. The kernel then raises SIGBUS in
 * each thread that touches a page that is gone, which ends the process. A back-end can do that to a
 * VMM whose threads read a window (a guest's access comes as a fault of its vCPU:
 * vhushmem_resolve_guest_fault), and a front-end can do it to a device that reads guest memory.
 *
 * With the guard the page shows zeros, and the instruction runs again. In a window that is for the
 * moment, ten milliseconds at least: then the page is the file's again, and who touches it finds
 * what the file has or is given zeros once more. The library ends such covers when the next page is
 * touched that its file lacks, at the next vhushmem_region_read or _write, in vhushmem_region_heal,
 * and when a front-end or a channel of the device is dispatched, which their loops are woken for.
 * Until then a reader sees zeros even if the file has grown, and what is written to a page that the
 * file never had is lost. (What is written to a page that the file had stays until the file is seen
 * to have the page again: its file system may be full.) At most VHUSHMEM_MAX_SCRATCH_PAGES pages of
 * a region are covered; the oldest makes room.
 *
 * A mapping that lacks a page which the file had when it was mapped is broken: the event BROKEN
 * tells the program, vhushmem_mapping_info and the status show it, and everything else in the
 * window is as it was. When the file has its pages again the mapping is whole, and the event HEALED
 * tells. A page beyond the end of a file that never was so long (VHUSHMEM_FD_ALLOW_BEYOND_END)
 * breaks nothing.
 *
 * Huge pages, memfds that are mapped privately and memory of devices do not come back before they
 * are unmapped: zeros take the place of all that follows the page in its mapping. Nor do pages that
 * take no writes (their file system is full): a copy stands there.
 *
 * In a device, memory that a front-end gave goes as a whole, and the connection to the front-end
 * ends.
 *
 * The library installs no signal handler unless vhushmem_guard_install is called. A program that
 * has one of its own calls vhushmem_guard_handle_sigbus from it.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * To be called first in a handler of SIGBUS that was installed with SA_SIGINFO.
 *
 * It makes the page that was touched one that can be touched: zeros in the place of a page that the
 * file lacks; a copy in the place of a page that can be read and not written (its file system is
 * full). It may wait for the storage of a file, as the access itself would. Where the mapping has
 * gone meanwhile and its hole can be read, it changes nothing. Where it cannot be done page by page
 * (the budget of mappings is used up, or 64 pages of the region must stay already), zeros take the
 * place of all that follows in the mapping, or of the whole mapping, for as long as it lives.
 *
 * It does nothing where SIGBUS is blocked: the kernel then ends the process without calling a
 * handler.
 *
 * Async-signal-safe in the thread that was signalled: it allocates nothing and leaves errno as it
 * was. It takes locks of the library's, which that thread can't hold: the library itself never
 * touches such memory with a lock held.
 *
 * @param info  the siginfo_t that the handler got. (It is no type of plain C99, which this header
 *              keeps to.)
 * @returns true: return from the handler, and the instruction runs again; false: the signal is none
 *          of this library's (another address, or one that somebody sent), or nothing could be put
 *          there (no memory); or info is NULL.
 * Thread rule: any thread, in a signal handler.  Since: 0.1
 */
VHUSHMEM_API bool vhushmem_guard_handle_sigbus(const void *info) VHUSHMEM_CHECK_RESULT;

/**
 * To be called first in a handler of SIGSEGV that was installed with SA_SIGINFO, by a VMM that
 * touches windows with plain loads and stores of its own: a translator of guest code, a device that
 * copies from guest memory.
 *
 * What a guest under KVM finds by an exit (fault.h), such a thread finds by this signal. A hole
 * that is read shows zeros from then on, as all holes of the region do. What is written, into a
 * hole or where a mapping may only be read, goes to a page of private memory that neither the file
 * nor the back-end sees; limits are those of vhushmem_resolve_guest_fault. Instructions are not
 * fetched from windows.
 *
 * Where SIGSEGV is blocked it does nothing: the kernel then ends the process without calling a
 * handler.
 *
 * Async-signal-safe as vhushmem_guard_handle_sigbus is.
 *
 * @param info     the siginfo_t that the handler got.
 * @param context  the ucontext_t that the handler got, which tells a read from a write; NULL: every
 *                 access counts as one that may write.
 * @returns true: return from the handler, and the instruction runs again; false: the signal is none
 *          of this library's, or nothing could be put there (the limits; no memory); or info is
 *          NULL.
 * Thread rule: any thread, in a signal handler.  Since: 0.1
 */
VHUSHMEM_API bool vhushmem_guard_handle_sigsegv(const void *info,
                                                const void *context) VHUSHMEM_CHECK_RESULT;

/**
 * Have the kernel deliver SIGBUS and SIGSEGV to the calling thread. Some programs block all signals
 * in the threads that they make, QEMU among them; a blocked signal that an instruction raises ends
 * the process, whatever handler there is.
 *
 * @param errp  receives the error.
 * @returns 0, or what pthread_sigmask fails with.
 * Thread rule: any thread; it speaks for that thread alone, and for threads that it makes later.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_guard_unblock_signals(GError **errp);

/**
 * Install a handler of SIGBUS for the process that does so, for programs that have none. What is
 * not this library's it hands to the handler that was there before, or, where there was none, lets
 * end the process as without it. Once for the life of the process: a second call does nothing. A
 * handler that the program installs later takes its place, and calls vhushmem_guard_handle_sigbus
 * itself.
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
