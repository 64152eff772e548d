// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The system calls of the library, by name. A test names one to make it fail.
enum SystemCall: UInt8, CaseIterable {
    case mmap, munmap, madvise, mremap, mprotect, msync, personality
    case statx, lstat, readlink, fstatfs, fcntl, dup, close, read, write, open, memfd, ftruncate, flock
    case socket, socketpair, bind, listen, accept, connect, recvmsg, sendmsg, getsockopt, setsockopt, shutdown, ioctl, unlink
    case eventfd, epollCreate, epollControl, epollWait, timerfdCreate, timerfdSet, poll
    case processVMRead, processVMWrite
    case sigaction, signal, thread, getrlimit
}

#if VHUSHMEM_FAULT_INJECTION
    /// Asked before each system call: an errno to fail with instead of making the call, or 0. Nonisolated: only tests set it,
    /// while nothing else makes system calls.
    nonisolated(unsafe) var systemCallFault: ((SystemCall) -> Int32)?
#endif

/// All system calls go through this function. It makes the call, again after EINTR, and reads errno before anything can change
/// it.
@inline(__always)
func systemCall<Result: FixedWidthInteger & SignedInteger>(_ call: SystemCall, _ body: () -> Result) throws(Errno) -> Result {
    while true {
        var code: Int32 = 0
        #if VHUSHMEM_FAULT_INJECTION
            code = unsafe systemCallFault?(call) ?? 0
        #endif
        if code == 0 {
            let result = body()
            if result != -1 { return result }
            code = vhu_errno()
        }
        if code != EINTR { throw Errno(code) }
    }
}

/// For a call that has its effect whatever it returns, and must not be repeated.
@inline(__always)
func systemCallOnce(_ call: SystemCall, _ body: () -> Int32) {
    #if VHUSHMEM_FAULT_INJECTION
        _ = unsafe systemCallFault?(call)
    #endif
    _ = body()
}
