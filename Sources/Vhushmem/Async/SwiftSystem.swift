// SPDX-License-Identifier: BSD-3-Clause

// The package trait SwiftSystem: descriptors, paths and errors of swift-system, where the rest of the interface has numbers and
// strings.
#if SwiftSystem
    import SystemPackage

    // MARK: Descriptors that change hands

    extension OwnedDescriptor {
        /// Takes over an open descriptor.
        ///
        /// - Parameter descriptor: nothing else may close it from now on.
        public init(owning descriptor: SystemPackage.FileDescriptor) {
            self.init(owning: descriptor.rawValue)
        }

        /// The descriptor; use it while this value exists.
        public var descriptor: SystemPackage.FileDescriptor { SystemPackage.FileDescriptor(rawValue: raw) }

        /// Gives the descriptor up without closing it.
        ///
        /// - Returns: the descriptor, which the caller must close.
        public consuming func releaseDescriptor() -> SystemPackage.FileDescriptor {
            SystemPackage.FileDescriptor(rawValue: release())
        }
    }

    // MARK: Errors

    extension ShmemError {
        /// The errno in the type of swift-system.
        public var systemErrno: SystemPackage.Errno { SystemPackage.Errno(rawValue: code) }
    }

    extension ShmemError.Errno {
        /// Makes the same errno.
        ///
        /// - Parameter errno: in the type of swift-system.
        public init(_ errno: SystemPackage.Errno) { self.init(rawValue: errno.rawValue) }
    }

    // MARK: Paths

    extension FilePath {
        fileprivate var socketPath: SocketPath { unsafe withPlatformString { unsafe SocketPath($0) } }
    }

    extension Frontend {
        /// Makes a front-end for a back-end behind a Unix socket path. Nothing is opened yet.
        ///
        /// - Parameters:
        ///   - path: the path of the socket; one that begins with @ names an abstract socket.
        ///   - options: the front-end's options.
        /// - Throws: EINVAL (an option, or the path is empty), ENAMETOOLONG.
        public convenience init(path: FilePath, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
            try self.init(path: path.socketPath, options: options)
        }
    }

    extension Backend {
        /// Listens for front-ends at a Unix socket path.
        ///
        /// - Parameter path: the path of the socket; one that begins with @ names an abstract socket.
        /// - Throws: what the form with a string throws.
        public func listen(at path: FilePath) throws(ShmemError) { try listen(at: path.socketPath) }

        /// Connects to a front-end that listens.
        ///
        /// - Parameter path: the path of its socket; one that begins with @ names an abstract socket.
        /// - Throws: what the form with a string throws.
        public func connect(to path: FilePath) throws(ShmemError) { try connect(to: path.socketPath) }

        /// Asks the front-end to map a range of a file, and waits for the answer, if the front-end gives one.
        ///
        /// - Parameters:
        ///   - shmid: the region's id.
        ///   - fd: the file, which stays the caller's.
        ///   - fileOffset: first byte in the file.
        ///   - offset: first byte in the region.
        ///   - length: bytes.
        ///   - writable: the guest may write to it.
        /// - Throws: what the form with a number throws.
        public func map(
            shmid: UInt8, fd: SystemPackage.FileDescriptor, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64,
            writable: Bool = false
        ) throws(ShmemError) {
            try map(shmid: shmid, fd: fd.rawValue, fileOffset: fileOffset, at: offset, length: length, writable: writable)
        }

        /// Asks the front-end to map a range of a file, and returns when it has done so.
        ///
        /// - Parameters:
        ///   - shmid: the region's id.
        ///   - fd: the file, which stays the caller's.
        ///   - fileOffset: first byte in the file.
        ///   - offset: first byte in the region.
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
        ///   - fileOffset: first byte in the file.
        ///   - offset: first byte in the region.
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
        /// Describes a range of the guest's RAM.
        ///
        /// - Parameters:
        ///   - guestAddress: its guest address.
        ///   - length: bytes.
        ///   - userAddress: its address in this process.
        ///   - fd: the file behind it, which is duplicated.
        ///   - fileOffset: first byte in the file.
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
        /// Takes slots of a VM of KVM.
        ///
        /// - Parameters:
        ///   - vm: the VM, which is duplicated.
        ///   - first: the first slot that only this object uses.
        ///   - count: how many there are.
        /// - Returns: the slots, none of which is used.
        /// - Throws: what the form with a number throws.
        public static func make(
            vm: SystemPackage.FileDescriptor, first: UInt32, count: UInt32
        ) throws(ShmemError) -> KvmSlots {
            try make(vm: vm.rawValue, first: first, count: count)
        }
    }
#endif
