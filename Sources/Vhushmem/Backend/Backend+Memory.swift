// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about guest memory

extension Backend {
    /// SET_MEM_TABLE: all of guest memory; it replaces the last table.
    func takeMemoryTable(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        let main = connection.main
        guard let table = unsafe MemoryTable(payload), main.descriptorCount == table.regions.count else { return .malformed }
        return BackendAnswer { () throws(ShmemError) in
            var all = BackendMemory()
            for (index, region) in table.regions.enumerated() {
                all = try all.adding(try map(region, fd: main.descriptor(at: index), connection))
            }
            useMemory(all, connection)
        }
    }

    /// ADD_MEM_REG. A range that is told again replaces the older one: QEMU tells each range again for each pair of a network
    /// device's queues, and for a device that is plugged in later. Chains hold the memory that they were taken with.
    func addMemory(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let region = unsafe SingleMemoryRegion(payload)?.region else { return .malformed }
        return BackendAnswer { () throws(ShmemError) in
            let range = try map(region, fd: connection.main.firstDescriptor, connection)
            useMemory(try connection.memory.adding(range, replaces: true), connection)
        }
    }

    /// REM_MEM_REG
    func removeMemory(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let region = unsafe SingleMemoryRegion(payload)?.region else { return .malformed }
        guard let left = connection.memory.removing(region) else {
            return .refused(
                ENOENT, "the front-end has not told of \(region.sentence.text), at its own address \(hex(region.userAddress))")
        }
        useMemory(left, connection)
        return .done
    }

    private func map(
        _ region: MemoryTableRegion, fd: Int32?, _ connection: BackendConnection
    ) throws(ShmemError) -> GuestRange {
        do throws(Errno) {
            return try GuestRange.map(
                region, fd: fd ?? -1, mayBeReadOnly: connection.hasMappedReadOnly, mayBeShared: connection.hasMapped,
                quota: given, alarm: connection.useAlarm())
        } catch {
            throw ShmemError(
                error.code,
                "cannot map \(region.sentence.text), at \(hex(region.fileOffset)) of their file: \(SharedFile.reason(error, given))"
            )
        }
    }

    private func useMemory(_ memory: BackendMemory, _ connection: BackendConnection) {
        connection.memory = memory
        for queue in queues where queue.ring?.memoryChanged(to: memory) == true {
            _ = try? notify(queue: queue.index)
            look(at: queue)
        }
    }
}
