// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A question to a back-end: its payload, and the meaning of the reply. The table of requests (Wire/RequestForm.swift) has the
/// rest.
public struct FrontendQuestion<Answer> {
    let request: FrontendRequest
    var payload: [UInt8] = []
    var descriptors: [SharedDescriptor] = []
    /// The fault of the question, for a front-end with such options.
    var fault: (FrontendOptions) -> ShmemError? = { _ in nil }
    let decode: (FrontendReply) throws(ShmemError) -> Answer

    /// The request of the question. `completion` is called once.
    func call(_ completion: @escaping (Result<Answer, ShmemError>) -> Void) -> FrontendCall {
        let decode = decode
        return FrontendCall(request, payload, descriptors) { outcome in
            switch outcome {
            case .failure(let error): completion(.failure(error))
            case .success(let reply):
                do throws(ShmemError) {
                    completion(.success(try decode(reply)))
                } catch {
                    completion(.failure(error))
                }
            }
        }
    }
}

/// The bytes of a payload, encoded in place.
func encoded(_ size: Int, _ encode: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size)
    unsafe bytes.withUnsafeMutableBytes { unsafe encode($0) }
    return bytes
}

extension FrontendQuestion where Answer == Void {
    /// A request without data in its reply.
    init(_ request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = []) {
        self.init(request: request, payload: payload, descriptors: descriptors) { _ in }
    }
}

extension FrontendQuestion where Answer == UInt64 {
    /// A request whose reply is a number.
    init(number request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = []) {
        self.init(request: request, payload: payload, descriptors: descriptors) { $0.value }
    }
}
