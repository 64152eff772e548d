// SPDX-License-Identifier: BSD-3-Clause

#if arch(x86_64)
    import CLinux
    import Glibc
    import Testing

    @testable import Vhushmem

    /// A guest of one page of code, which stores a byte at a region's possible place.
    private final class Guest {
        static let windowAddress: UInt64 = 0x8000
        static let byte: UInt8 = 0x5a
        /// mov byte [0x8000], 0x5a; hlt
        private static let code: [UInt8] = [0xc6, 0x06, 0x00, 0x80, 0x5a, 0xf4]
        private static let exitHlt: UInt32 = 5
        private static let exitMmio: UInt32 = 6

        let vm: Int32
        private let vcpu: Int32
        private let memory: UnsafeMutableRawPointer
        private let run: UnsafeMutableRawPointer
        private let runSize: Int

        init() throws {
            let kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)
            defer { close(kvm) }
            vm = ioctl(kvm, 0xae01, 0)
            runSize = Int(ioctl(kvm, 0xae04, 0))
            vcpu = ioctl(vm, 0xae41, 0)
            try #require(vm >= 0 && vcpu >= 0 && runSize > 0)
            let shared = MAP_SHARED | MAP_ANONYMOUS
            memory = try #require(mmap(nil, Int(pageSize), PROT_READ | PROT_WRITE, shared, -1, 0))
            run = try #require(mmap(nil, runSize, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0))
            memory.copyMemory(from: Guest.code, byteCount: Guest.code.count)
            try #require(vhu_kvm_set_slot(vm, 0, 0, pageSize, memory, false) == 0)
            // Real mode: the code segment, the first of the special registers, begins at 0.
            var special = [UInt8](repeating: 0, count: 312)
            try #require(ioctl(vcpu, 0x8138_ae83, &special) == 0)
            special.replaceSubrange(0..<8, with: littleEndian(0 as UInt64))
            special.replaceSubrange(12..<14, with: [0, 0])
            try #require(ioctl(vcpu, 0x4138_ae84, &special) == 0)
        }

        deinit {
            munmap(run, runSize)
            close(vcpu)
            close(vm)
            munmap(memory, Int(pageSize))
        }

        /// Runs the store. Returns false if no memory was there, and the byte went nowhere.
        func stores() throws -> Bool {
            var registers = [UInt64](repeating: 0, count: 18)
            registers[17] = 2
            try #require(ioctl(vcpu, 0x4090_ae82, &registers) == 0)
            var isStored = true
            while true {
                let status = ioctl(vcpu, 0xae80, 0)
                if status < 0, vhu_errno() == EINTR { continue }
                try #require(status == 0)
                switch run.load(fromByteOffset: 8, as: UInt32.self) {
                case Guest.exitHlt: return isStored
                case Guest.exitMmio:
                    #expect(run.load(fromByteOffset: 32, as: UInt64.self) == Guest.windowAddress)
                    isStored = false
                case let reason: throw ShmemError(EIO, "the guest stopped for the reason \(reason)")
                }
            }
        }
    }

    @Suite(.enabled(if: canUseKvm, "there is no /dev/kvm"), .serialized)
    struct KvmSlotsTests {
        private let file: TestFile

        init() throws {
            file = try makeMemfd(pages: 4)
        }

        private func makeRegion(_ strategy: MappingStrategy) throws -> (ShmemDevice, Region) {
            let device = ShmemDevice()
            var options = RegionOptions()
            options.strategy = strategy
            return (device, try device.addRegion(shmid: 0, size: 4 * pageSize, options: options))
        }

        private var firstByte: UInt8 {
            var byte: UInt8 = 0
            pread(file.fd, &byte, 1, 0)
            return byte
        }

        @Test(arguments: [MappingStrategy.window, .slots]) func slotsThatAreDroppedLeaveNothingInTheGuest(
            strategy: MappingStrategy
        ) throws {
            let guest = try Guest()
            let (device, region) = try makeRegion(strategy)
            do {
                let slots = try KvmSlots.make(vm: guest.vm, first: 1, count: 16)
                try region.map(fd: file.fd, at: 0, length: pageSize, writable: true)
                try slots.place(region, at: Guest.windowAddress)
                #expect(try guest.stores() && firstByte == Guest.byte)
                // Without another use of it, Swift would release it before the guest has run.
                withExtendedLifetime(slots) {}
            }
            pwrite(file.fd, [0 as UInt8], 1, 0)
            #expect(try !guest.stores() && firstByte == 0)
            // The region no longer knows them.
            try region.map(fd: file.fd, fileOffset: pageSize, at: pageSize, length: pageSize)
            #expect(try !guest.stores())
            #expect(device.unmapAll() == 2)
        }

        @Test(arguments: [MappingStrategy.window, .slots]) func regionStaysAsLongAsTheGuestHasIt(strategy: MappingStrategy)
            throws
        {
            let guest = try Guest()
            let slots = try KvmSlots.make(vm: guest.vm, first: 1, count: 16)
            weak var seen: Region?
            do {
                let (device, region) = try makeRegion(strategy)
                seen = region
                try slots.place(region, at: Guest.windowAddress)
                try region.map(fd: file.fd, at: 0, length: pageSize, writable: true)
                #expect(try guest.stores() && firstByte == Guest.byte)
                withExtendedLifetime(device) {}
            }
            // Its mappings went with the device, its window did not: no other memory can come to that place.
            #expect(seen != nil)
            slots.close()
            #expect(seen == nil)
            #expect(try !guest.stores())
        }

        @Test func slotsAreFreeAgainWhenTheyAreDropped() throws {
            let guest = try Guest()
            let (_, region) = try makeRegion(.window)
            for _ in 0..<8 {
                let slots = try KvmSlots.make(vm: guest.vm, first: 1, count: 1)
                try slots.place(region, at: Guest.windowAddress)
                #expect(refusal { () throws(ShmemError) in try slots.place(region, at: 0x10000) }?.code == EEXIST)
            }
        }
    }
#endif
