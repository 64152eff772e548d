// SPDX-License-Identifier: BSD-3-Clause

/// A type whose objects the C functions take as handles, for a program that is partly in C and uses this package for both. A
/// handle is valid only for the copy of the library that made it.
///
/// A Swift object and its handle are the same object: each face sees what the other does, and the object's thread rule holds
/// for both.
public protocol HandledByC: AnyObject {}

extension HandledByC {
    /// Calls `body` with the object's handle, which is valid during the call.
    ///
    /// - Parameter body: uses the handle. It must not end it (`..._free`, `..._unref`).
    /// - Returns: what `body` returns.
    /// - Throws: what `body` throws.
    public func withCHandle<Result, Failure: Error>(
        _ body: (OpaquePointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try unsafe body(handle(borrowing: self))
    }

    /// Makes a handle that owns a reference, for code in C that ends it with the type's `vhushmem_..._free` or
    /// `vhushmem_..._unref`. A `free` closes the session for Swift as well.
    ///
    /// - Returns: the handle.
    public func makeCHandle() -> OpaquePointer { unsafe handle(owning: self) }

    /// Returns the object behind a handle of the same C type. The handle stays its owner's.
    ///
    /// - Parameter cHandle: a handle of the C type that this type stands for, made by this copy of the library. The function
    ///   cannot detect any other pointer.
    /// - Returns: the object.
    public static func object(ofCHandle cHandle: OpaquePointer) -> Self {
        // SAFETY: the caller says that it is a handle of such an object.
        unsafe Unmanaged<Self>.fromOpaque(UnsafeRawPointer(cHandle)).takeUnretainedValue()
    }
}

extension ShmemDevice: HandledByC {}
extension Region: HandledByC {}
extension Mapping: HandledByC {}
extension Frontend: HandledByC {}
extension ShmemChannel: HandledByC {}
extension Backend: HandledByC {}
extension DescriptorChain: HandledByC {}
extension SharedObjects: HandledByC {}
extension KvmSlots: HandledByC {}
