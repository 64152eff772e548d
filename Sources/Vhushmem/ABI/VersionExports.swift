// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CVhushmem

// vhushmem/version.h and vhushmem/error.h

@_cdecl("vhushmem_version") @implementation
package func vhushmem_version() -> UInt32 {
    UInt32(VHUSHMEM_VERSION_MAJOR) &* 1_000_000 &+ UInt32(VHUSHMEM_VERSION_MINOR) &* 1000 &+ UInt32(VHUSHMEM_VERSION_MICRO)
}

@_cdecl("vhushmem_version_string") @implementation
package func vhushmem_version_string() -> UnsafePointer<CChar>? {
    let text: StaticString = "0.9.0"
    return unsafe constant(text)
}

@_cdecl("vhushmem_error_quark") @implementation
package func vhushmem_error_quark() -> GQuark {
    ShmemError.quark
}

/// A static string as C sees it: it ends with a zero byte and lives as long as the library is loaded.
func constant(_ text: StaticString) -> UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
