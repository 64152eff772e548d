// SPDX-License-Identifier: BSD-3-Clause

import CGLib

/// The place for an error that C sees.
typealias ErrorPointer = UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?

extension ShmemError {
    /// Stores the error at the caller's place, and returns the value that the function returns.
    func report(to place: ErrorPointer) -> Int32 {
        Log.tellWaiting()
        if let place = unsafe place {
            unsafe message.withCString { unsafe g_set_error_literal(place, ShmemError.quark, code, $0) }
        }
        return -code
    }

    /// The domain of every GError of the library. GLib keeps the pointer to the name, which is a constant of the library.
    static let quark: GQuark = {
        let name: StaticString = "vhushmem-error-quark"
        return unsafe g_quark_from_static_string(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self))
    }()
}
