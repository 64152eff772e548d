// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The records of a leaf. Only their starts are in order. The other values of a record stay in one slot for as long as the
/// record is in this leaf. So an insert or a remove moves one word and one byte for each record after it, and not five words.
///
/// Byte i of words 3 to 6 is the slot of entry i. After the bytes of the entries come those of the free slots. The 32 bytes are
/// always the numbers from 0 to 31 in some order, so no other list of free slots is needed.
///
/// Lengths are apart from file offsets and words: the search for a place loads one length and no other value.
extension TableNode {
    /// The words of a leaf where the bytes of slots, the lengths with the identities, and the other values begin.
    private static var slots: Int { 3 }
    private static var lengths: Int { headerWords + leafCapacity }
    private static var values: Int { lengths + leafCapacity * 2 }

    // MARK: - Reading

    // SAFETY: for all of them: an index is less than the leaf's capacity. A slot is too, because its byte is masked.

    @inline(__always)
    func record(_ index: Int) -> MappingRecord {
        let slot = slot(index)
        let value = unsafe words + (TableNode.values &+ slot &* 2)
        let length = unsafe words + (TableNode.lengths &+ slot &* 2)
        return unsafe MappingRecord(
            start: key(index), length: length[0], fileOffset: value[0], word: value[1], identity: length[1])
    }

    /// The same for a reader on another thread. If the writer changes the leaf meanwhile, the words may belong to several
    /// records.
    @inline(__always)
    func loadRecord(_ index: Int) -> MappingRecord {
        let bytes = unsafe vhu_load_relaxed(words + (TableNode.slots &+ index &>> 3))
        let slot = TableNode.slot(index, in: bytes)
        let value = unsafe words + (TableNode.values &+ slot &* 2)
        let length = unsafe words + (TableNode.lengths &+ slot &* 2)
        return unsafe MappingRecord(
            start: vhu_load_relaxed(words + (TableNode.headerWords &+ index)), length: vhu_load_relaxed(length),
            fileOffset: vhu_load_relaxed(value), word: vhu_load_relaxed(value + 1), identity: vhu_load_relaxed(length + 1))
    }

    /// Asks the processor to bring the line with the slots near. So it comes at the same time as the lines with the keys.
    @inline(__always)
    func prefetchSlots() {
        unsafe vhu_prefetch(words)
    }

    @inline(__always)
    private func slot(_ index: Int) -> Int {
        unsafe TableNode.slot(index, in: words[TableNode.slots &+ index &>> 3])
    }

    /// The slot of an entry. `bytes`: the word that has its byte.
    @inline(__always)
    private static func slot(_ index: Int, in bytes: UInt64) -> Int {
        Int(truncatingIfNeeded: bytes &>> shift(of: index)) & (leafCapacity &- 1)
    }

    /// The bit of its word at which the byte of an entry begins.
    @inline(__always)
    private static func shift(of index: Int) -> UInt64 {
        UInt64(truncatingIfNeeded: (index & (lineKeys &- 1)) &* 8)
    }

    /// Whether the bytes of slots are the numbers from 0 to 31, as they must be between two changes.
    var eachSlotIsNamedOnce: Bool {
        var named: UInt64 = 0
        for index in 0..<TableNode.leafCapacity {
            let slot = unsafe words[TableNode.slots &+ index &>> 3] &>> TableNode.shift(of: index) & 0xff
            guard slot < UInt64(TableNode.leafCapacity) else { return false }
            named |= 1 &<< slot
        }
        return named == 1 &<< UInt64(TableNode.leafCapacity) &- 1
    }

    // MARK: - Changing

    /// Writes the numbers from 0 to 31 as the bytes of slots.
    func resetSlots() {
        var bytes: UInt64 = 0x0706_0504_0302_0100
        var word = TableNode.slots
        while word < TableNode.headerWords &- 1 {
            store(bytes, at: word)
            bytes &+= 0x0808_0808_0808_0808
            word &+= 1
        }
    }

    @inline(__always)
    func setWord(_ word: UInt64, at index: Int) {
        store(word, at: TableNode.values &+ slot(index) &* 2 &+ 1)
    }

    /// Replaces the values of an entry. Its key stays.
    @inline(__always)
    func setValues(_ entry: Entry, at index: Int) {
        setValues(entry, ofSlot: slot(index))
    }

    @inline(__always)
    private func setValues(_ entry: Entry, ofSlot slot: Int) {
        store(entry.first, at: TableNode.lengths &+ slot &* 2)
        store(entry.fourth, at: TableNode.lengths &+ slot &* 2 &+ 1)
        store(entry.second, at: TableNode.values &+ slot &* 2)
        store(entry.third, at: TableNode.values &+ slot &* 2 &+ 1)
    }

    /// Puts a record into a leaf that is not full.
    @inline(__always)
    func insertRecord(_ entry: Entry, at index: Int) {
        let count = self.count
        // An entry after all others gets the first free slot: its byte is there already.
        let slot = index == count ? slot(index) : makeRoom(at: index, count: count)
        setKey(entry.key, at: index)
        setValues(entry, ofSlot: slot)
        setCount(count &+ 1)
    }

    // Keys and slots move in whole lines of eight, with the unused ones. So the processor fails to predict only one branch: the
    // end of the loop over lines.

    /// Moves the keys and the bytes of slots from `index` on up by one. Returns a free slot, whose byte is now at `index`.
    @inline(__always)
    private func makeRoom(at index: Int, count: Int) -> Int {
        // The line that has room for one more key. So its last slot is free.
        var line = count &>> 3
        let slot = unsafe words[TableNode.slots &+ line] &>> 56
        while line > index &>> 3 {
            let word = TableNode.slots &+ line
            unsafe store(words[word] &<< 8 | words[word &- 1] &>> 56, at: word)
            let keys = TableNode.headerWords &+ line &* TableNode.lineKeys
            var place = TableNode.lineKeys &- 1
            while place >= 0 {
                unsafe store(words[keys &+ place &- 1], at: keys &+ place)
                place &-= 1
            }
            line &-= 1
        }
        let shift = TableNode.shift(of: index)
        let bytes = unsafe words[TableNode.slots &+ line]
        let before = bytes & (1 &<< shift &- 1)
        store(before | slot &<< shift | (bytes ^ before) &<< 8, at: TableNode.slots &+ line)
        let keys = TableNode.headerWords &+ line &* TableNode.lineKeys
        let first = index & (TableNode.lineKeys &- 1)
        var place = TableNode.lineKeys &- 1
        while place > 0 {
            unsafe store(words[keys &+ place &- (place > first ? 1 : 0)], at: keys &+ place)
            place &-= 1
        }
        return Int(truncatingIfNeeded: slot)
    }

    @inline(__always)
    func removeRecord(at index: Int) {
        let last = count &- 1
        let lastLine = last &>> 3
        var line = index &>> 3
        let shift = TableNode.shift(of: index)
        var bytes = unsafe words[TableNode.slots &+ line]
        let slot = bytes &>> shift
        let before = bytes & (1 &<< shift &- 1)
        // The new bytes of the line, without the last one.
        bytes = before | (bytes &>> 8) & ~(1 &<< shift &- 1)
        var keys = TableNode.headerWords &+ line &* TableNode.lineKeys
        let first = index & (TableNode.lineKeys &- 1)
        var place = 0
        while place < TableNode.lineKeys &- 1 {
            unsafe store(words[keys &+ place &+ (place >= first ? 1 : 0)], at: keys &+ place)
            place &+= 1
        }
        while line < lastLine {
            let next = unsafe words[TableNode.slots &+ line &+ 1]
            store(bytes | next &<< 56, at: TableNode.slots &+ line)
            bytes = next &>> 8
            line &+= 1
            place = 0
            while place < TableNode.lineKeys {
                unsafe store(words[keys &+ place &+ TableNode.lineKeys], at: keys &+ place &+ TableNode.lineKeys &- 1)
                place &+= 1
            }
            keys &+= TableNode.lineKeys
        }
        // The last line that had a key now has room for one more. The free slot's byte is the last one there.
        store(bytes | slot &<< 56, at: TableNode.slots &+ line)
        store(TableNode.noKey, at: keys &+ TableNode.lineKeys &- 1)
        setCount(last)
    }
}
