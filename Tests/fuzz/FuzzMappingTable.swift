// SPDX-License-Identifier: BSD-3-Clause

/// Target `mapping-table`: the input is a list of operations on a MappingTable and on an array that is searched from end to
/// end. Both must agree, and the table's invariants must hold after each operation.
@_cdecl("fuzz_mapping_table")
func fuzzMappingTable(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    var input = FuzzInput(UnsafeRawBufferPointer(start: data, count: size))
    let setup = input.byte()
    let pageSize: UInt64 = 1 << [0, 12, 12, 16, 21, 30, 12, 63][Int(setup & 7)]
    let limit: UInt64 = setup & 0x80 != 0 ? UInt64(setup >> 3 & 15) : .max
    guard let table = MappingTable(pageSize: pageSize, nodeLimit: limit) else { return 0 }
    var run = TableRun(table: table, model: NaiveTable(pageMask: pageSize - 1), limit: limit)
    var operations = 0
    while !input.isEmpty, operations < 128 {
        run.step(&input)
        operations += 1
        // A look at a large table takes long, so it happens only sometimes.
        guard run.model.records.count < 100 || operations % 8 == 0 else { continue }
        require(table.checkInvariants(), "the table's invariants do not hold")
    }
    run.compare()
    require(table.checkInvariants(), "the table's invariants do not hold")
    return 0
}

/// The records in the order of their starts. Each answer looks at every record.
private struct NaiveTable {
    let pageMask: UInt64
    var records: [MappingRecord] = []

    func first(_ record: MappingRecord) -> UInt64 { record.start / (pageMask + 1) * (pageMask + 1) }

    func last(_ record: MappingRecord) -> UInt64 {
        // Records that end beyond 2^64 count as ending there.
        let bytes = max(record.length, 1) - 1
        return (record.start > .max - bytes ? .max : record.start + bytes) | pageMask
    }

    func overlap(_ one: MappingRecord, _ other: MappingRecord) -> Bool {
        first(one) <= last(other) && first(other) <= last(one)
    }

    func isFree(_ new: MappingRecord) -> Bool {
        for record in records where overlap(record, new) { return false }
        return true
    }

    mutating func insert(_ new: MappingRecord) {
        let index = records.firstIndex { $0.start > new.start } ?? records.count
        records.insert(new, at: index)
    }

    /// Whether [start, start + length) has no owner and ends no later than `size`.
    func isGap(_ start: UInt64, _ length: UInt64, _ size: UInt64) -> Bool {
        guard length <= size, start <= size - length else { return false }
        let end = start + (length - 1)
        return records.allSatisfy { last($0) < start || first($0) > end }
    }

    func firstGap(_ length: UInt64, _ alignment: UInt64, _ size: UInt64, from hint: UInt64) -> UInt64? {
        // A gap begins at the hint, at 0, or after a record; rounded up to the alignment.
        var candidates: [UInt64] = [hint, 0]
        for record in records where last(record) < .max { candidates.append(last(record) + 1) }
        let starts = candidates.compactMap { candidate -> UInt64? in
            let excess = candidate % alignment
            let (start, wraps) = candidate.addingReportingOverflow(excess == 0 ? 0 : alignment - excess)
            return wraps || !isGap(start, length, size) ? nil : start
        }
        let late = starts.filter { $0 >= hint }
        return late.min() ?? starts.min()
    }
}

private struct TableRun {
    let table: MappingTable
    var model: NaiveTable
    let limit: UInt64
    var nextWord: UInt64 = 1

    private var pageSize: UInt64 { model.pageMask + 1 }

    /// A number near something: a small multiple of the page size, the largest number, a record. Or any number.
    private func number(_ input: inout FuzzInput) -> UInt64 {
        let kind = input.byte()
        let small = UInt64(input.byte())
        switch kind & 7 {
        case 0, 1: return small &* pageSize
        case 2: return (small << 8 | UInt64(input.byte())) &* pageSize
        case 3: return 0 &- small &* pageSize
        case 4: return .max - small
        case 5, 6:
            guard !model.records.isEmpty else { return small }
            let record = model.records[Int(kind >> 3) * 37 % model.records.count]
            return (kind & 1 == 0 ? record.start : model.last(record)) &+ small &- 1
        default: return input.word()
        }
    }

    mutating func step(_ input: inout FuzzInput) {
        let operation = input.byte()
        switch operation & 15 {
        case 0, 1, 2: insert(start: number(&input), length: number(&input))
        case 3: insertMany(number(&input), Int(input.byte()), stride: UInt64(input.byte() & 7))
        case 4: removeMany(Int(input.byte()), step: Int(input.byte() & 7) + 1)
        case 5: remove(number(&input))
        case 6: find(number(&input))
        case 7: findContaining(number(&input), number(&input))
        case 8: findGap(number(&input), alignment: number(&input), size: number(&input), from: number(&input))
        case 9: setWord(number(&input))
        case 10 where operation == 0xfa: removeAll()
        case 11: compare()
        default: remove(model.records.isEmpty ? 0 : model.records[Int(operation >> 4) * 97 % model.records.count].start)
        }
    }

    private mutating func insert(start: UInt64, length: UInt64) {
        nextWord += 1
        let record = MappingRecord(start: start, length: length, fileOffset: ~start, word: nextWord)
        let isFree = model.isFree(record)
        switch table.insert(record) {
        case .done:
            require(isFree, "a record was inserted over another")
            model.insert(record)
        case .overlap(let other):
            require(
                model.records.contains(other) && model.overlap(other, record),
                "a record was refused for one that does not overlap it")
        case .outOfMemory:
            // The model does not count nodes. But where it has room, it inserts.
            require(isFree && limit != .max, "a record was refused for want of memory")
        }
    }

    private mutating func insertMany(_ start: UInt64, _ count: Int, stride: UInt64) {
        // Enough for three levels, but no more: the model's time grows with it.
        for index in 0..<count where model.records.count < 1500 {
            insert(start: start &+ UInt64(index) &* (stride + 1) &* pageSize, length: pageSize)
        }
    }

    private mutating func removeMany(_ count: Int, step: Int) {
        var index = 0
        for _ in 0..<count where index < model.records.count {
            remove(model.records[index].start)
            index += step - 1
        }
    }

    private mutating func remove(_ start: UInt64) {
        let index = model.records.firstIndex { $0.start == start }
        let removed = table.remove(at: start)
        require(removed == index.map { model.records[$0] }, "another record was removed")
        if let index { model.records.remove(at: index) }
    }

    private mutating func removeAll() {
        table.removeAll()
        model.records.removeAll()
    }

    private func find(_ offset: UInt64) {
        require(table.find(at: offset) == model.records.first { $0.start == offset }, "another record begins there")
        require(
            table.first(endingAfter: offset) == model.records.first { model.last($0) >= offset },
            "another record is the first after")
        require(
            table.last(startingBefore: offset) == model.records.last { $0.start < offset }, "another record is the last before")
    }

    private func findContaining(_ offset: UInt64, _ length: UInt64) {
        var expected: MappingRecord?
        if length > 0, offset <= .max - (length - 1) {
            let last = offset + (length - 1)
            expected = model.records.first { $0.start <= offset && last <= model.last($0) }
        }
        require(table.concurrentFind(containing: offset, length: length) == expected, "another record has that range")
    }

    private func findGap(_ length: UInt64, alignment: UInt64, size: UInt64, from hint: UInt64) {
        // In the form that callers use: whole pages, with an alignment that is a power of two.
        let length = length & ~model.pageMask
        let size = size & ~model.pageMask
        let alignment = max(pageSize, 1 << UInt64(63 - max(alignment, 1).leadingZeroBitCount))
        let found = table.firstGap(of: length, alignment: alignment, in: size, from: hint)
        guard length > 0, length <= size else { return require(found == nil, "a gap was found where there can be none") }
        require(found == model.firstGap(length, alignment, size, from: hint), "another gap is the first")
    }

    private mutating func setWord(_ start: UInt64) {
        nextWord += 1
        let index = model.records.firstIndex { $0.start == start }
        require(table.setWord(at: start, to: nextWord) == (index != nil), "a word was set where there is no record, or not")
        if let index { model.records[index].word = nextWord }
    }

    func compare() {
        require(table.count == UInt64(model.records.count), "the table has another number of records")
        withUnsafeTemporaryAllocation(of: MappingRecord.self, capacity: model.records.count + 1) { room in
            let copied = table.copyRecords(into: room)
            require(copied == model.records.count, "the table lists another number of records")
            for index in 0..<copied { require(room[index] == model.records[index], "the table lists another record") }
        }
    }
}
