// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Requests of the back-end besides maps and unmaps.
extension Frontend {
    /// Performs such a request, before it is answered.
    func carryOut(_ request: OtherRequest) -> OtherAnswer {
        switch request.id {
        case BackendRequest.configChange: return noteConfigChange(request)
        case BackendRequest.sharedObjectAdd, BackendRequest.sharedObjectRemove, BackendRequest.sharedObjectLookup:
            return carryOutSharedObject(request)
        default:
            return request.answered { () throws(ShmemError) in
                try askNow { () throws(ShmemError) in try onRequest?(self, request) }
            }
        }
    }

    /// The event comes after the answer, so that its callback may read the new configuration.
    private func noteConfigChange(_ request: OtherRequest) -> OtherAnswer {
        guard protocolFeatures.contains(.config), eventQueue.isWanted else {
            return .refused(ShmemError(EOPNOTSUPP, .request(request.id), .notServed))
        }
        guard unsafe request.payload.isEmpty else {
            return unsafe .refused(
                ShmemError(EINVAL, .request(request.id), .wrongPayload(expected: 0, got: request.payload.count)))
        }
        guard unsafe request.descriptors.isEmpty else {
            return unsafe .refused(
                ShmemError(EINVAL, .request(request.id), .wrongDescriptors(expected: 0, got: request.descriptors.count)))
        }
        return .done
    }
}
