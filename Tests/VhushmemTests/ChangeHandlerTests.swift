// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct ChangeHandlerTests {
    @Test func changesOfRangesAreToldUntilTheHandlerIsTakenAway() throws {
        let device = ShmemDevice()
        let region = try device.addRegion(shmid: 2, size: 16 * pageSize)
        let file = try makeMemfd(pages: 1)
        let told = Shared<[String]>([])
        try device.setChangeHandler { region, change, mapping in
            told.withLock { $0.append("\(change) \(region.shmid) \(mapping.offset) \(mapping.length)") }
        }
        try region.map(fd: file.fd, fileOffset: 0, at: pageSize, length: pageSize, writable: false)
        let refused = refusal { () throws(ShmemError) in try device.setChangeHandler(nil) }
        #expect(refused?.code == EBUSY)
        try region.unmap(at: pageSize, length: pageSize)
        try device.setChangeHandler(nil)
        try region.map(fd: file.fd, fileOffset: 0, at: 0, length: pageSize, writable: false)
        #expect(told.withLock { $0 } == ["mapped 2 4096 4096", "unmapped 2 4096 4096"])
    }
}
