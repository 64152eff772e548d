// SPDX-License-Identifier: BSD-3-Clause

/// A sentence for people, made of pieces and numbers.
///
/// A String would do the same, but inline, with a few hundred bytes of code for each number; here these are calls. There are as
/// many sentences as there are possible failures, so this is a good part of the library's size.
struct Sentence: ExpressibleByStringInterpolation {
    let text: String

    @inline(never)
    init(stringLiteral value: String) {
        text = value
    }

    @inline(never)
    init(stringInterpolation: StringInterpolation) {
        text = stringInterpolation.text
    }

    /// Joins the two pieces of a sentence that is too long for a line.
    static func + (left: Sentence, right: Sentence) -> Sentence {
        Sentence(stringLiteral: left.text + right.text)
    }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text: String

        @inline(never)
        init(literalCapacity: Int, interpolationCount: Int) {
            text = ""
        }

        @inline(never)
        mutating func appendLiteral(_ literal: String) {
            text += literal
        }

        @inline(never)
        mutating func appendInterpolation(_ value: String) {
            text += value
        }

        @inline(never)
        mutating func appendInterpolation(_ value: StaticString) {
            text += value.description
        }

        @inline(never)
        mutating func appendInterpolation(_ value: Int64) {
            text += String(value)
        }

        @inline(never)
        mutating func appendInterpolation(_ value: UInt64) {
            text += String(value)
        }

        mutating func appendInterpolation(_ value: Int) { appendInterpolation(Int64(value)) }
        mutating func appendInterpolation(_ value: Int32) { appendInterpolation(Int64(value)) }
        mutating func appendInterpolation(_ value: UInt32) { appendInterpolation(UInt64(value)) }
        mutating func appendInterpolation(_ value: UInt16) { appendInterpolation(UInt64(value)) }
        mutating func appendInterpolation(_ value: UInt8) { appendInterpolation(UInt64(value)) }
    }
}
