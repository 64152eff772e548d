// SPDX-License-Identifier: BSD-3-Clause

// Stands in for swift-system, which tests do not fetch. It has the part that the package trait SwiftSystem uses.

public struct FileDescriptor: RawRepresentable, Hashable, Sendable {
    public let rawValue: CInt
    public init(rawValue: CInt) { self.rawValue = rawValue }
}

public struct Errno: RawRepresentable, Error, Hashable, Sendable {
    public let rawValue: CInt
    public init(rawValue: CInt) { self.rawValue = rawValue }
    public static var invalidArgument: Errno { Errno(rawValue: 22) }
}

public struct FilePath: ExpressibleByStringLiteral, Sendable {
    private let path: String
    public init(_ string: String) { path = string }
    public init(stringLiteral: String) { path = stringLiteral }

    public func withPlatformString<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
        try path.withCString(body)
    }
}
