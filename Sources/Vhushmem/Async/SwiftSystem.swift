// SPDX-License-Identifier: BSD-3-Clause

// Of the package trait SwiftSystem: descriptors, paths and errors of swift-system, where the rest of the interface has numbers and strings.
#if SwiftSystem
    import SystemPackage

    // MARK: Descriptors that change hands

    extension OwnedDescriptor {
        /// Takes over an open descriptor.
        ///
        /// - Parameter descriptor: nobody else may close it from now on.
        public init(owning descriptor: SystemPackage.FileDescriptor) {
            self.init(owning: descriptor.rawValue)
        }

        /// The descriptor, to be used while this is held.
        public var descriptor: SystemPackage.FileDescriptor { SystemPackage.FileDescriptor(rawValue: raw) }

        /// Gives the descriptor up without closing it.
        ///
        /// - Returns: the descriptor, which is the caller's to close.
        public consuming func releaseDescriptor() -> SystemPackage.FileDescriptor {
            SystemPackage.FileDescriptor(rawValue: release())
        }
    }

    // MARK: Errors

    extension ShmemError {
        /// The errno as swift-system has it.
        public var systemErrno: SystemPackage.Errno { SystemPackage.Errno(rawValue: code) }
    }

    extension ShmemError.Errno {
        /// The same errno.
        ///
        /// - Parameter errno: as swift-system has it.
        public init(_ errno: SystemPackage.Errno) { self.init(rawValue: errno.rawValue) }
    }

    // MARK: Paths

    extension FilePath {
        fileprivate var socketPath: SocketPath { unsafe withPlatformString { unsafe SocketPath($0) } }
    }

    extension Frontend {
        /// A front-end for a back-end behind a Unix socket path. Nothing is opened yet.
        ///
        /// - Parameters:
        ///   - path: where the socket is; one that begins with @ names an abstract socket.
        ///   - options: how the front-end is to be.
        /// - Throws: EINVAL (an option, or the path is empty), ENAMETOOLONG.
        public convenience init(path: FilePath, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
            try self.init(path: path.socketPath, options: options)
        }
    }

    extension Backend {
        /// Listens for front-ends at a Unix socket path.
        ///
        /// - Parameter path: where the socket is to be; one that begins with @ names an abstract socket.
        /// - Throws: what the form with a string throws.
        public func listen(at path: FilePath) throws(ShmemError) { try listen(at: path.socketPath) }

        /// Connects to a front-end that listens.
        ///
        /// - Parameter path: where its socket is; one that begins with @ names an abstract socket.
        /// - Throws: what the form with a string throws.
        public func connect(to path: FilePath) throws(ShmemError) { try connect(to: path.socketPath) }

        /// Asks for a range of a file to be mapped, and waits for the answer where the front-end gives one.
        ///
        /// - Parameters:
        ///   - shmid: the region's id.
        ///   - fd: the file, which stays the caller's.
        ///   - fileOffset: where the range begins in the file, in bytes.
        ///   - offset: where it is to be in the region, in bytes.
        ///   - length: bytes.
        ///   - writable: the guest may write to it.
        /// - Throws: what the form with a number throws.
        public func map(
            shmid: UInt8, fd: SystemPackage.FileDescriptor, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64,
            writable: Bool = false
        ) throws(ShmemError) {
            try map(shmid: shmid, fd: fd.rawValue, fileOffset: fileOffset, at: offset, length: length, writable: writable)
        }

        /// Asks for a range of a file to be mapped, and returns when the front-end has mapped it.
        ///
        /// - Parameters:
        ///   - shmid: the region's id.
        ///   - fd: the file, which stays the caller's.
        ///   - fileOffset: where the range begins in the file, in bytes.
        ///   - offset: where it is to be in the region, in bytes.
        ///   - length: bytes.
        ///   - writable: the guest may write to it.
        /// - Throws: what the form with a number throws.
        public nonisolated(nonsending) func map(
            shmid: UInt8, fd: SystemPackage.FileDescriptor, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64,
            writable: Bool = false
        ) async throws {
            try await map(
                shmid: shmid, fd: fd.rawValue, fileOffset: fileOffset, at: offset, length: length, writable: writable)
        }
    }

    // MARK: Files that stay the caller's

    extension Region {
        /// Maps a range of a file.
        ///
        /// - Parameters:
        ///   - fd: the file, which stays the caller's.
        ///   - fileOffset: where the range begins in the file, in bytes.
        ///   - offset: where it is to be in the region, in bytes.
        ///   - length: bytes.
        ///   - writable: the guest may write to it.
        /// - Throws: what the form with a number throws.
        public func map(
            fd: SystemPackage.FileDescriptor, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
        ) throws(ShmemError) {
            try map(fd: fd.rawValue, fileOffset: fileOffset, at: offset, length: length, writable: writable)
        }
    }

    extension GuestMemory {
        /// A range of the guest's RAM.
        ///
        /// - Parameters:
        ///   - guestAddress: where the guest has it.
        ///   - length: bytes.
        ///   - userAddress: where this process has it.
        ///   - fd: the file behind it, which is duplicated.
        ///   - fileOffset: where the range begins in the file, in bytes.
        /// - Throws: what the form with a number throws.
        public init(
            guestAddress: UInt64, length: UInt64, userAddress: UInt64, fd: SystemPackage.FileDescriptor, fileOffset: UInt64
        ) throws(ShmemError) {
            try self.init(
                guestAddress: guestAddress, length: length, userAddress: userAddress, fd: fd.rawValue, fileOffset: fileOffset)
        }
    }

    extension SharedObjects {
        /// Adds a file under a name.
        ///
        /// - Parameters:
        ///   - uuid: 16 bytes.
        ///   - fd: the file, which is duplicated.
        /// - Throws: what the form with a number throws.
        public func add(_ uuid: [UInt8], fd: SystemPackage.FileDescriptor) throws(ShmemError) {
            try add(uuid, fd: fd.rawValue)
        }
    }

    extension KvmSlots {
        /// Slots of a VM of KVM's.
        ///
        /// - Parameters:
        ///   - vm: the VM, which is duplicated.
        ///   - first: the first slot that is for this alone.
        ///   - count: how many are.
        /// - Returns: the slots, none of which is used.
        /// - Throws: what the form with a number throws.
        public static func make(
            vm: SystemPackage.FileDescriptor, first: UInt32, count: UInt32
        ) throws(ShmemError) -> KvmSlots {
            try make(vm: vm.rawValue, first: first, count: count)
        }
    }
#endif
