// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The address of a Unix socket: bytes, as the kernel has them, which need not be UTF-8. A path that begins with @ or with a
/// zero byte is the name of an abstract socket, which is in no folder; the rest of the bytes is the name.
struct SocketPath {
    let bytes: [UInt8]

    init(_ path: String) {
        bytes = Array(path.utf8)
    }

    init(_ path: UnsafePointer<CChar>) {
        // SAFETY: a C string has as many bytes as strlen says.
        bytes = unsafe Array(UnsafeRawBufferPointer(start: path, count: strlen(path)))
    }

    var isAbstract: Bool { bytes.first == UInt8(ascii: "@") || bytes.first == 0 }

    /// For people. Bytes that are no UTF-8 show as U+FFFD.
    var text: String {
        var shown = bytes
        if shown.first == 0 { shown[0] = UInt8(ascii: "@") }
        return String(decoding: shown, as: UTF8.self)
    }

    /// The folder of the path.
    var folder: SocketPath {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return SocketPath(".") }
        return SocketPath(bytes: Array(bytes[..<max(slash, 1)]))
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        unsafe (bytes + [0]).withUnsafeBufferPointer { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                // SAFETY: it has one byte at least.
                unsafe characters.baseAddress.map(body) ?? body("")
            }
        }
    }

    /// Throws EINVAL (it names nothing: it is empty, or has a zero byte inside), ENAMETOOLONG.
    func makeAddress() throws(Errno) -> Socket.Address {
        let isEmpty = bytes.count <= (isAbstract ? 1 : 0)
        guard !isEmpty, isAbstract || !bytes.contains(0) else { throw Errno(EINVAL) }
        var address = sockaddr_un()
        let length = unsafe bytes.withUnsafeBytes { unsafe vhu_unix_address(&address, $0.baseAddress, $0.count, isAbstract) }
        guard length > 0 else { throw Errno(ENAMETOOLONG) }
        return Socket.Address(raw: address, length: length)
    }
}
