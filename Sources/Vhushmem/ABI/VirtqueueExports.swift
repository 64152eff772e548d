// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/virtqueue.h

// pop and push count no references: their first part calls nothing of the program, so the caller's references hold the objects.
// The rest is done with a reference, because a callback may free the back-end.

@_cdecl("vhushmem_backend_pop") @implementation
@_optimize(speed)
package func vhushmem_backend_pop(
    _ backend: OpaquePointer?, _ queue: UInt32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    var isAll = false
    var chain: Unmanaged<DescriptorChain>?
    if let backend = unsafe borrowed(backend, Backend.self) {
        unsafe backend._withUnsafeGuaranteedRef { unsafe chain = unsafe $0.take(from: Int(queue), &isAll) }
    }
    if !isAll {
        guard unsafe finishPop(backend, queue, hasChain: chain != nil, errp) else { return nil }
    }
    return unsafe chain.map { unsafe OpaquePointer($0.toOpaque()) }
}

@inline(never)
private func finishPop(_ backend: OpaquePointer?, _ queue: UInt32, hasChain: Bool, _ errp: ErrorPointer) -> Bool {
    let result = unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.finishPop(of: Int(queue), hasChain: hasChain)
    }
    return result == 0
}

@_cdecl("vhushmem_backend_push") @implementation
@_optimize(speed)
package func vhushmem_backend_push(
    _ backend: OpaquePointer?, _ chain: OpaquePointer?, _ written: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    guard let owner = unsafe borrowed(backend, Backend.self), let given = unsafe borrowed(chain, DescriptorChain.self) else {
        return unsafe refusalOfPush(backend, chain, written, errp)
    }
    let result = unsafe owner._withUnsafeGuaranteedRef { owner in
        unsafe given._withUnsafeGuaranteedRef { given in owner.giveBack(given, written: written, isGiven: true) }
    }
    switch result {
    case .taken: return 0
    case .done:
        unsafe given.release()
        return 0
    case .notHeld, .notNow, .broken: return unsafe refusalOfPush(backend, chain, written, errp)
    }
}

@inline(never)
private func refusalOfPush(
    _ backend: OpaquePointer?, _ chain: OpaquePointer?, _ written: UInt32, _ errp: ErrorPointer
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let chain = unsafe object(chain, DescriptorChain.self) else { throw .null("chain") }
        throw backend.refusal(of: chain, written: written)
    }
}

@_cdecl("vhushmem_backend_pop_many") @implementation
@_optimize(speed)
package func vhushmem_backend_pop_many(
    _ backend: OpaquePointer?, _ queue: UInt32, _ chains: UnsafeMutablePointer<OpaquePointer?>?, _ max: Int,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let chains = unsafe chains else { throw .null("chains") }
        let most = mostOfBurst(max)
        // SAFETY: the caller says that chains has room for so many. A reference to a chain is an address.
        let count = unsafe try chains.withMemoryRebound(to: Unmanaged<DescriptorChain>?.self, capacity: most) {
            places throws(ShmemError) in
            unsafe try backend.popMany(queue: Int(queue), most: most, into: places)
        }
        return Int32(truncatingIfNeeded: count)
    }
}

@_cdecl("vhushmem_backend_push_many") @implementation
@_optimize(speed)
package func vhushmem_backend_push_many(
    _ backend: OpaquePointer?, _ queue: UInt32, _ chains: UnsafePointer<OpaquePointer?>?, _ written: UnsafePointer<UInt32>?,
    _ count: Int, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let chains = unsafe chains else { throw .null("chains") }
        guard let written = unsafe written else { throw .null("written") }
        let done = unsafe try backend.pushMany(queue: Int(queue), count: mostOfBurst(count), areGiven: true) { index in
            // SAFETY: the caller says that both have so many.
            unsafe (borrowed(chains[index], DescriptorChain.self), written[index])
        }
        return Int32(truncatingIfNeeded: done)
    }
}

/// As many as the result can count.
@inline(__always)
private func mostOfBurst(_ size: Int) -> Int { min(count(size), Int(Int32.max)) }

@_cdecl("vhushmem_backend_put_back") @implementation
package func vhushmem_backend_put_back(
    _ backend: OpaquePointer?, _ chain: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe consume(backend, chain, errp) { backend, chain throws(ShmemError) in try backend.putBack(chain) }
}

/// The caller's reference to the chain goes if the call succeeds.
private func consume(
    _ backend: OpaquePointer?, _ chain: OpaquePointer?, _ errp: ErrorPointer,
    _ body: (Backend, DescriptorChain) throws(ShmemError) -> Void
) -> Int32 {
    let result = unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let chain = unsafe object(chain, DescriptorChain.self) else { throw .null("chain") }
        try body(backend, chain)
    }
    if result == 0 { unsafe release(chain, DescriptorChain.self) }
    return result
}

@_cdecl("vhushmem_backend_notify") @implementation
package func vhushmem_backend_notify(
    _ backend: OpaquePointer?, _ queue: UInt32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe ask(backend, errp) { backend throws(ShmemError) in try backend.notify(queue: Int(queue)) }
}

@_cdecl("vhushmem_backend_set_kicks") @implementation
package func vhushmem_backend_set_kicks(
    _ backend: OpaquePointer?, _ queue: UInt32, _ wanted: Bool, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe ask(backend, errp) { backend throws(ShmemError) in try backend.setKicks(wanted, queue: Int(queue)) }
}

/// 1 or 0 for the library's answer.
private func ask(
    _ backend: OpaquePointer?, _ errp: ErrorPointer, _ body: (Backend) throws(ShmemError) -> Bool
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        return try body(backend) ? 1 : 0
    }
}

@_cdecl("vhushmem_backend_break_queue") @implementation
package func vhushmem_backend_break_queue(
    _ backend: OpaquePointer?, _ queue: UInt32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.breakQueue(Int(queue))
    }
}

@_cdecl("vhushmem_backend_queue_is_running") @implementation
package func vhushmem_backend_queue_is_running(_ backend: OpaquePointer?, _ queue: UInt32) -> Bool {
    unsafe object(backend, Backend.self)?.isRunning(queue: Int(queue)) ?? false
}

// MARK: Chains

// These count no references either: the caller has one.

@inline(__always)
private func look<Result>(at chain: OpaquePointer?, _ none: Result, _ body: (DescriptorChain) -> Result) -> Result {
    guard let chain = unsafe borrowed(chain, DescriptorChain.self) else { return none }
    return unsafe chain._withUnsafeGuaranteedRef(body)
}

@_cdecl("vhushmem_chain_head") @implementation
package func vhushmem_chain_head(_ chain: OpaquePointer?) -> UInt16 { unsafe look(at: chain, 0) { $0.head } }

@_cdecl("vhushmem_chain_readable_size") @implementation
package func vhushmem_chain_readable_size(_ chain: OpaquePointer?) -> UInt64 { unsafe look(at: chain, 0) { $0.readableSize } }

@_cdecl("vhushmem_chain_writable_size") @implementation
package func vhushmem_chain_writable_size(_ chain: OpaquePointer?) -> UInt64 { unsafe look(at: chain, 0) { $0.writableSize } }

@_cdecl("vhushmem_chain_readable") @implementation
package func vhushmem_chain_readable(
    _ chain: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?
) -> UnsafePointer<iovec>? {
    guard let count = unsafe count else { return nil }
    return unsafe look(at: chain, nil) { chain in
        unsafe count.pointee = unsafe chain.readable.count
        return unsafe UnsafePointer(chain.readable.baseAddress)
    }
}

@_cdecl("vhushmem_chain_writable") @implementation
package func vhushmem_chain_writable(
    _ chain: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?
) -> UnsafePointer<iovec>? {
    guard let count = unsafe count else { return nil }
    return unsafe look(at: chain, nil) { chain in
        unsafe count.pointee = unsafe chain.writable.count
        return unsafe UnsafePointer(chain.writable.baseAddress)
    }
}

@_cdecl("vhushmem_chain_iovec") @implementation
package func vhushmem_chain_iovec(
    _ chain: OpaquePointer?, _ writable: Bool, _ offset: UInt64, _ len: UInt64, _ iov: UnsafeMutablePointer<iovec>?, _ max: Int
) -> Int {
    guard let iov = unsafe iov, max != 0 else { return 0 }
    // SAFETY: the caller says that iov has room for so many.
    let pieces = unsafe UnsafeMutableBufferPointer(start: iov, count: count(max))
    return unsafe look(at: chain, 0) { unsafe $0.pieces(isWritable: writable, at: offset, count: len, into: pieces) }
}

@_cdecl("vhushmem_chain_read") @implementation
package func vhushmem_chain_read(
    _ chain: OpaquePointer?, _ offset: UInt64, _ buf: UnsafeMutableRawPointer?, _ len: Int
) -> Int {
    guard let buf = unsafe buf else { return 0 }
    let bytes = unsafe UnsafeMutableRawBufferPointer(start: buf, count: count(len))
    return unsafe look(at: chain, 0) { unsafe $0.read(at: offset, into: bytes) }
}

@_cdecl("vhushmem_chain_write") @implementation
package func vhushmem_chain_write(
    _ chain: OpaquePointer?, _ offset: UInt64, _ buf: UnsafeRawPointer?, _ len: Int
) -> Int {
    guard let buf = unsafe buf else { return 0 }
    let bytes = unsafe UnsafeRawBufferPointer(start: buf, count: count(len))
    return unsafe look(at: chain, 0) { unsafe $0.write(bytes, at: offset) }
}

@_cdecl("vhushmem_chain_free") @implementation
package func vhushmem_chain_free(_ chain: OpaquePointer?) {
    unsafe release(chain, DescriptorChain.self)
}

// MARK: Guest memory

@_cdecl("vhushmem_backend_guest_memory") @implementation
package func vhushmem_backend_guest_memory(
    _ backend: OpaquePointer?, _ guest_addr: UInt64, _ len: UInt64
) -> UnsafeMutableRawPointer? {
    unsafe object(backend, Backend.self)?.guestMemory(at: guest_addr, length: len)
}

@_cdecl("vhushmem_backend_log_write") @implementation
package func vhushmem_backend_log_write(_ backend: OpaquePointer?, _ guest_addr: UInt64, _ len: UInt64) {
    unsafe object(backend, Backend.self)?.logWrite(at: guest_addr, length: len)
}

@_cdecl("vhushmem_backend_user_memory") @implementation
package func vhushmem_backend_user_memory(
    _ backend: OpaquePointer?, _ user_addr: UInt64, _ len: UInt64
) -> UnsafeMutableRawPointer? {
    unsafe object(backend, Backend.self)?.guestMemory(atUser: user_addr, length: len)
}
