// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The error of a failed system call: a positive errno value.
struct Errno: Error, Equatable {
    let code: Int32

    init(_ code: Int32) {
        self.code = code
    }

    /// The kernel's wording, such as "No such file or directory".
    static func text(_ code: Int32) -> String {
        unsafe String(cString: vhu_strerrordesc(code))
    }
}

extension Result {
    var failure: Failure? {
        if case .failure(let error) = self { return error }
        return nil
    }
}
