// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension ShmemError {
    /// An errno value. The names are those of swift-system.
    public struct Errno: RawRepresentable, Hashable, Sendable {
        /// Positive.
        public let rawValue: Int32

        /// Makes a value of any number, also of one that has no name here.
        ///
        /// - Parameter rawValue: a positive number.
        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        private init(_ rawValue: Int32) {
            self.rawValue = rawValue
        }

        /// EACCES
        public static var permissionDenied: Errno { Errno(EACCES) }
        /// EADDRINUSE
        public static var addressInUse: Errno { Errno(EADDRINUSE) }
        /// EAGAIN
        public static var resourceTemporarilyUnavailable: Errno { Errno(EAGAIN) }
        /// EALREADY
        public static var alreadyInProcess: Errno { Errno(EALREADY) }
        /// EBADF
        public static var badFileDescriptor: Errno { Errno(EBADF) }
        /// EBUSY
        public static var resourceBusy: Errno { Errno(EBUSY) }
        /// ECANCELED
        public static var canceled: Errno { Errno(ECANCELED) }
        /// ECONNABORTED
        public static var connectionAbort: Errno { Errno(ECONNABORTED) }
        /// ECONNREFUSED
        public static var connectionRefused: Errno { Errno(ECONNREFUSED) }
        /// ECONNRESET
        public static var connectionReset: Errno { Errno(ECONNRESET) }
        /// EDEADLK
        public static var resourceDeadlockAvoided: Errno { Errno(EDEADLK) }
        /// EEXIST
        public static var fileExists: Errno { Errno(EEXIST) }
        /// EFAULT
        public static var badAddress: Errno { Errno(EFAULT) }
        /// EINVAL
        public static var invalidArgument: Errno { Errno(EINVAL) }
        /// EIO
        public static var ioError: Errno { Errno(EIO) }
        /// EMFILE
        public static var tooManyOpenFiles: Errno { Errno(EMFILE) }
        /// ENAMETOOLONG
        public static var fileNameTooLong: Errno { Errno(ENAMETOOLONG) }
        /// ENFILE
        public static var tooManyOpenFilesInSystem: Errno { Errno(ENFILE) }
        /// ENOBUFS
        public static var noBufferSpace: Errno { Errno(ENOBUFS) }
        /// ENODEV
        public static var operationNotSupportedByDevice: Errno { Errno(ENODEV) }
        /// ENOENT
        public static var noSuchFileOrDirectory: Errno { Errno(ENOENT) }
        /// ENOMEM
        public static var noMemory: Errno { Errno(ENOMEM) }
        /// ENOSPC
        public static var noSpace: Errno { Errno(ENOSPC) }
        /// ENOTCONN
        public static var socketNotConnected: Errno { Errno(ENOTCONN) }
        /// ENOTTY
        public static var inappropriateIOCTLForDevice: Errno { Errno(ENOTTY) }
        /// EOPNOTSUPP
        public static var notSupportedOnSocket: Errno { Errno(EOPNOTSUPP) }
        /// EOVERFLOW
        public static var overflow: Errno { Errno(EOVERFLOW) }
        /// EPERM
        public static var notPermitted: Errno { Errno(EPERM) }
        /// EPROTO
        public static var protocolError: Errno { Errno(EPROTO) }
        /// ESTALE
        public static var staleNFSFileHandle: Errno { Errno(ESTALE) }
        /// ETIMEDOUT
        public static var timedOut: Errno { Errno(ETIMEDOUT) }
    }
}
