// SPDX-License-Identifier: BSD-3-Clause

/// A reference that does not keep its object: an object gives it to what it owns, which then calls the object. Embedded Swift
/// has neither `weak` nor `unowned`.
///
/// One thread at a time uses it, as the object itself. An object that several threads share has none.
@safe final class BackReference<Object: AnyObject> {
    private var object: Unmanaged<Object>?

    init() {}

    /// The object's initialiser calls this.
    func point(at object: Object) {
        unsafe self.object = unsafe Unmanaged.passUnretained(object)
    }

    /// nil: the object has gone, or is about to go.
    var target: Object? {
        // SAFETY: the object's deinit clears this first.
        unsafe object?.takeUnretainedValue()
    }

    /// The object's `deinit` calls this first.
    func end() {
        unsafe object = nil
    }
}
