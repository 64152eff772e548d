// SPDX-License-Identifier: BSD-3-Clause

import CGLib

/// JSON under construction, in a GString, which a C caller gets in the end. Values stand in the order of the calls. Keys are
/// constants of this library. Texts may contain anything that a peer or a path can bring.
///
/// Call `finish` exactly once: until then nothing frees the text.
@safe struct JsonText {
    private let text: UnsafeMutablePointer<GString>

    init() {
        guard let text = unsafe g_string_sized_new(1024) else { fatalError("GLib ends the program when memory runs out") }
        unsafe self.text = unsafe text
    }

    /// The text, to be freed with g_free.
    func finish() -> UnsafeMutablePointer<CChar>? {
        unsafe vhushmem_glib_finish(text)
    }

    /// The same as a Swift string.
    func takeString() -> String {
        guard let characters = unsafe finish() else { return "" }
        defer { unsafe g_free(characters) }
        return unsafe String(cString: characters)
    }

    // MARK: Objects and lists. Those in a list have no key.

    func beginObject(_ key: StaticString? = nil) {
        begin(key)
        append(UInt8(ascii: "{"))
    }

    func endObject() {
        append(UInt8(ascii: "}"))
    }

    func beginList(_ key: StaticString) {
        begin(key)
        append(UInt8(ascii: "["))
    }

    func endList() {
        append(UInt8(ascii: "]"))
    }

    // MARK: Values

    /// In decimal, all 64 bits of it.
    @inline(never)
    func number(_ key: StaticString, _ value: UInt64) {
        begin(key)
        unsafe vhushmem_glib_append_number(text, value)
    }

    /// A number, or null if it is 0.
    @inline(never)
    func limit(_ key: StaticString, _ value: UInt64) {
        if value == 0 { null(key) } else { number(key, value) }
    }

    @inline(never)
    func null(_ key: StaticString) {
        begin(key)
        append("null")
    }

    @inline(never)
    func bool(_ key: StaticString, _ value: Bool) {
        begin(key)
        append(value ? "true" : "false")
    }

    @inline(never)
    func text(_ key: StaticString, _ value: StaticString) {
        begin(key)
        unsafe quote(UnsafeBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    /// nil is null.
    @inline(never)
    func text(_ key: StaticString, _ value: String?) {
        guard var value else { return null(key) }
        begin(key)
        value.withUTF8 { unsafe quote($0) }
    }

    /// A constant text in a list, made of pieces.
    @inline(never)
    func item(_ first: StaticString, _ second: StaticString = "", _ third: StaticString = "", _ fourth: StaticString = "") {
        begin(nil)
        append(UInt8(ascii: "\""))
        append(first)
        append(second)
        append(third)
        append(fourth)
        append(UInt8(ascii: "\""))
    }

    // MARK: Pieces

    /// Writes what comes before a value: a comma, unless it is the first one, and its key.
    @inline(never)
    private func begin(_ key: StaticString?) {
        // A text value cannot be taken for a bracket: it ends with its quote.
        let last = unsafe UInt8(bitPattern: vhushmem_glib_last(text))
        if last != 0, last != UInt8(ascii: "{"), last != UInt8(ascii: "[") { append(UInt8(ascii: ",")) }
        guard let key else { return }
        append(UInt8(ascii: "\""))
        append(key)
        append("\":")
    }

    @inline(never)
    private func append(_ byte: UInt8) {
        _ = unsafe g_string_insert_c(text, -1, CChar(bitPattern: byte))
    }

    @inline(never)
    private func append(_ constant: StaticString) {
        unsafe g_string_append_len(
            text, UnsafeRawPointer(constant.utf8Start).assumingMemoryBound(to: CChar.self), constant.utf8CodeUnitCount)
    }

    /// The bytes are UTF-8 already, because they come out of a Swift string. Escaped is what could end the string or move the
    /// cursor of a terminal: quote, backslash, the control characters of ASCII and the 32 of Latin-1.
    private func quote(_ bytes: UnsafeBufferPointer<UInt8>) {
        append(UInt8(ascii: "\""))
        var isLatin = false
        // swift-format-ignore
        for unsafe (index, byte) in unsafe bytes.enumerated() {
            if isLatin {
                isLatin = false
                unsafe vhushmem_glib_append_escape(text, UInt32(byte))
            } else if byte < 0x20 || byte == 0x7f {
                unsafe vhushmem_glib_append_escape(text, UInt32(byte))
            } else if byte == 0xc2, index &+ 1 < bytes.count, unsafe bytes[index &+ 1] < 0xa0 {
                // U+0080 to U+009F: the second byte is the character's number.
                isLatin = true
            } else {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { append(UInt8(ascii: "\\")) }
                append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }
}
