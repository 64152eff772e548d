// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct ShmemErrorTests {
    @Test func sentenceTellsWhatWasAskedAndWhatStoodInTheWay() {
        let record = MappingRecord(start: 0x2000, length: 0x1000, fileOffset: 0, word: 0)
        let error = ShmemError(EEXIST, .map(shmid: 3, offset: 0x1000, length: 0x2000), .overlap(record))
        #expect(
            error.message
                == "cannot map 0x2000 bytes at 0x1000 of region 3: it overlaps the mapping at 0x2000 (0x1000 bytes)")
        #expect("\(error)" == error.message)
        #expect(error.code == EEXIST)
    }

    @Test func errorOfTheKernelIsNamedAndNumbered() {
        let error = ShmemError(ENOMEM, .unmap(shmid: 255, offset: .max, length: 0), .system("mmap", ENOMEM))
        #expect(
            error.message
                == "cannot unmap 0x0 bytes at 0xffffffffffffffff of region 255: mmap: Cannot allocate memory (errno 12)"
        )
    }

    @Test func textStandsAlone() {
        #expect(ShmemError(EINVAL, "no").message == "no")
    }

    @Test func everySentenceHasItsNumbersInHexadecimal() {
        let record = MappingRecord(start: 0xabc000, length: 0xdef000, fileOffset: 0, word: 0)
        let reasons: [(ShmemError.Reason, [String])] = [
            (.unalignedOffset(pageSize: 0x1000), ["0x1000"]),
            (.unalignedFileOffset(0xab, pageSize: 0x1000), ["0xab", "0x1000"]),
            (.unalignedLength(pageSize: 0x20_0000), ["0x200000"]), (.badAlignment(0x30, pageSize: 0x1000), ["0x30", "0x1000"]),
            (.unknownFlags(0xf0), ["0xf0"]), (.beyondEnd(size: 0x10_0000), ["0x100000"]),
            (.overlap(record), ["0xabc000", "0xdef000"]), (.notWhole(record), ["0xabc000", "0xdef000"]),
            (.fileWrapsAround(.max), ["0xffffffffffffffff"]),
            (.fileTooShort(size: 0xa, fileOffset: 0xb000), ["0xa", "0xb000"]),
            (.quota(.bytes(used: 0xa000, limit: 0xb000), of: "device"), ["0xa000", "0xb000", "device"]),
            (.quota(.mappings(limit: 7), of: "region"), ["7", "region"]), (.noFreeRange(size: 0xf000), ["0xf000"]),
            (.reservedFlags(0x10), ["0x10"]), (.wrongPayload(expected: 40, got: 39), ["40", "39"]),
            (.wrongDescriptors(expected: 1, got: 0), ["1", "0"]),
        ]
        for (reason, parts) in reasons {
            for part in parts { #expect(reason.sentence.text.contains(part), "\(reason.sentence)") }
        }
    }

    @Test(arguments: [0, 1, 0xff, UInt64.max])
    func hexIsWhatItSays(value: UInt64) {
        #expect(UInt64(hex(value).dropFirst(2), radix: 16) == value)
        #expect(hex(value).hasPrefix("0x"))
    }
}
