// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// Shared by the exported functions. Each of them makes three moves: check the arguments, one call into the library, convert the
// error.

/// The object behind a C handle, or nil for NULL.
@inline(__always)
func object<Object: AnyObject>(_ handle: OpaquePointer?, _: Object.Type) -> Object? {
    // SAFETY: only `handle(of:)` makes a handle, from an object of the type that its C type stands for.
    unsafe handle.map { unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
}

/// The same without a reference: the caller has one, and no callee may take it away.
@inline(__always)
func borrowed<Object: AnyObject>(_ handle: OpaquePointer?, _: Object.Type) -> Unmanaged<Object>? {
    // SAFETY: as above.
    unsafe handle.map { unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer($0)) }
}

/// A handle that owns one reference.
func handle(owning object: some AnyObject) -> OpaquePointer {
    unsafe OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

/// A handle that owns nothing: the object lives as long as something else holds it.
func handle(borrowing object: some AnyObject) -> OpaquePointer {
    unsafe OpaquePointer(Unmanaged.passUnretained(object).toOpaque())
}

func retain<Object: AnyObject>(_ handle: OpaquePointer?, _: Object.Type) {
    if let handle = unsafe handle { _ = unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).retain() }
}

func release<Object: AnyObject>(_ handle: OpaquePointer?, _: Object.Type) {
    if let handle = unsafe handle { unsafe Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release() }
}

/// A size_t of C. 2^63 or more arrives as a negative number, and is many, not none.
@inline(__always)
func count(_ size: Int) -> Int { size < 0 ? Int.max : size }

extension ShmemError {
    /// A pointer that must not be NULL was.
    @inline(never)
    static func null(_ what: StaticString) -> ShmemError {
        ShmemError(EFAULT, "\(what) is NULL")
    }

    /// A struct's struct_size is no length that this library can handle.
    @inline(never)
    static func wrongSize(of name: StaticString, stated: Int, known: Int) -> ShmemError {
        ShmemError(EINVAL, "\(name).struct_size is \(stated); this library's struct has \(known) bytes")
    }
}

/// Runs the one call into the library: returns 0, or the negative errno with the error at the caller's place.
@inline(__always)
func report(to errp: ErrorPointer, _ body: () throws(ShmemError) -> Void) -> Int32 {
    do throws(ShmemError) {
        try body()
        return 0
    } catch {
        return unsafe error.report(to: errp)
    }
}

/// The same for functions that return a number of 0 or more.
@inline(__always)
func reportCount(to errp: ErrorPointer, _ body: () throws(ShmemError) -> Int32) -> Int32 {
    do throws(ShmemError) {
        return try body()
    } catch {
        return unsafe error.report(to: errp)
    }
}

/// The same for functions that return a pointer: nil, with the error at the caller's place.
func reportNil<Result>(to errp: ErrorPointer, _ body: () throws(ShmemError) -> Result) -> Result? {
    do throws(ShmemError) {
        return try body()
    } catch {
        _ = unsafe error.report(to: errp)
        return nil
    }
}

/// Reads a growing struct of the caller. An older, shorter one (but no shorter than `least`, its length in the first release)
/// counts as zero in the fields that it lacks. A newer, longer one is accepted if its unknown fields are zero.
func growing<Value>(
    _ pointer: UnsafePointer<Value>, _ name: StaticString, least: Int = MemoryLayout<Value>.size
) throws(ShmemError) -> Value {
    let known = MemoryLayout<Value>.size
    let raw = unsafe UnsafeRawPointer(pointer)
    let stated = try unsafe statedSize(raw, name, known: known, least: least)
    return unsafe withUnsafeTemporaryAllocation(byteCount: known, alignment: MemoryLayout<Value>.alignment) { copy in
        unsafe copy.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe copy.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(stated, known)))
        // SAFETY: a C struct, of which every pattern of bits, zeros too, is a value.
        return unsafe copy.load(as: Value.self)
    }
}

/// The stated length of a growing struct, if this library can handle it.
private func statedSize(
    _ raw: UnsafeRawPointer, _ name: StaticString, known: Int, least: Int
) throws(ShmemError) -> Int {
    // SAFETY: every growing struct begins with its uint32_t struct_size, with which the caller says how far it may be read.
    let stated = unsafe Int(raw.load(as: UInt32.self))
    guard stated >= least, stated <= known &+ 4096 else {
        throw .wrongSize(of: name, stated: stated, known: known)
    }
    // swift-format-ignore
    for unsafe byte in unsafe UnsafeRawBufferPointer(start: raw, count: stated).dropFirst(known) where byte != 0 {
        throw ShmemError(EINVAL, "\(name) has fields that this library does not know, and they are not zero")
    }
    return stated
}

/// One of an array of growing structs, in which each is as long as the first one says. Give the result to `growing`, which
/// looks at its own length before more of it is read, or use it where that was done for the first.
func element<Value>(of first: UnsafePointer<Value>, _ index: Int) -> UnsafePointer<Value> {
    // SAFETY: the caller says that there are so many, with this distance from one to the next.
    let raw = unsafe UnsafeRawPointer(first)
    return unsafe (raw + index &* Int(raw.load(as: UInt32.self))).assumingMemoryBound(to: Value.self)
}

func mutableElement<Value>(of first: UnsafeMutablePointer<Value>, _ index: Int) -> UnsafeMutablePointer<Value> {
    unsafe UnsafeMutablePointer(mutating: element(of: UnsafePointer(first), index))
}

/// Whether a growing struct that a function fills has room for all that this library knows.
func hasRoom<Value>(_ pointer: UnsafeMutablePointer<Value>) -> Bool {
    // SAFETY: as above.
    unsafe Int(UnsafeRawPointer(pointer).load(as: UInt32.self)) >= MemoryLayout<Value>.size
}

/// Zeroes the part of a growing struct that this library does not know.
func clearBeyondKnown<Value>(_ pointer: UnsafeMutablePointer<Value>) {
    let raw = UnsafeMutableRawPointer(pointer)
    // SAFETY: the caller says with struct_size how far it may be written.
    let stated = unsafe Int(raw.load(as: UInt32.self))
    unsafe memset(raw + MemoryLayout<Value>.size, 0, max(0, stated &- MemoryLayout<Value>.size))
}

/// {function, user_data, destroy}, with the last run exactly once.
@safe final class CallbackData {
    let userData: gpointer?
    private let destroy: GDestroyNotify?

    init(_ userData: gpointer?, _ destroy: GDestroyNotify?) {
        unsafe self.userData = unsafe userData
        unsafe self.destroy = unsafe destroy
    }

    deinit {
        unsafe destroy?(userData)
    }
}

extension MapFlags {
    /// The choice in an option's flags; nil: none. Throws EINVAL: both.
    static func chosen(_ flags: UInt32, first: UInt32, current: UInt32) throws(ShmemError) -> MapFlags? {
        switch flags & (first | current) {
        case 0: return nil
        case first: return .first
        case current: return .current
        default: throw ShmemError(EINVAL, "FIRST_MAP_FLAGS and CURRENT_MAP_FLAGS exclude each other")
        }
    }
}
