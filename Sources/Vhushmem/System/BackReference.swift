// SPDX-License-Identifier: BSD-3-Clause

/// A way to an object that does not keep it: for what the object owns and what calls it back. Embedded Swift has neither `weak` nor
/// `unowned`.
///
/// One thread at a time, as the object itself: an object that threads share has none.
@safe final class BackReference<Object: AnyObject> {
    private var object: Unmanaged<Object>?

    init() {}

    /// To be called by the object's initialiser.
    func point(at object: Object) {
        unsafe self.object = unsafe Unmanaged.passUnretained(object)
    }

    /// nil: the object has gone, or is about to go.
    var target: Object? {
        // SAFETY: the object clears this first of all when it goes.
        unsafe object?.takeUnretainedValue()
    }

    /// To be called first of all in the object's `deinit`.
    func end() {
        unsafe object = nil
    }
}
