// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

/// Tests/abi/forgotten-lock-does-not-compile has the code that the compiler refuses.
@Suite struct LockTests {
    #if DEBUG
        @Test func tokenOfAnotherDeviceEndsTheProcess() async {
            await #expect(processExitsWith: .failure) {
                let one = DeviceState(DeviceOptions())
                let other = DeviceState(DeviceOptions())
                other.lock.withLock { held in other.quota[held].add(1) }
                one.lock.withLock { held in other.quota[held].add(1) }
            }
        }
    #endif

    @Test func tokenOfTheSameLockServesAllThatItGuards() {
        let device = DeviceState(DeviceOptions())
        for _ in 0..<2 {
            device.lock.withLock { held in
                device.quota[held].add(1)
                device.isGone[held] = device.quota[held].mappings == 2
            }
        }
        #expect(device.lock.withLock { held in device.isGone[held] })
    }
}
