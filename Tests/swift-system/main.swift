// SPDX-License-Identifier: BSD-3-Clause

// A program with the package trait SwiftSystem. scripts/check-swift-face compiles it and does not run it: the two packages have
// no two types of one name, and a literal means one of them.

import SystemPackage
import Vhushmem

func open(_ path: FilePath) -> FileDescriptor { FileDescriptor(rawValue: -1) }

let frontend = try Frontend(path: FilePath("device.sock"))
let other = try Frontend(path: "other.sock")
let file = open("picture")
let region = try frontend.device.addRegion(shmid: 1, size: 1 << 20)
try region.map(fd: file, at: 0, length: 4096)

func map(_ file: FileDescriptor) async throws {
    let device = try Backend()
    try device.listen(at: FilePath("device.sock"))
    try await device.map(shmid: 1, fd: file, at: 0, length: 4096)
}
try await map(file)

func giveUp(_ file: FileDescriptor) -> CInt {
    let owned = OwnedDescriptor(owning: file)
    print(owned.descriptor.rawValue)
    return owned.releaseDescriptor().rawValue
}
print(giveUp(file))

let error = ShmemError(.invalidArgument, "no")
print(error.systemErrno == Errno.invalidArgument, ShmemError.Errno(Errno.invalidArgument) == .invalidArgument)
