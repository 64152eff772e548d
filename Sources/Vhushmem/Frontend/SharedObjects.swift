// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The files that devices share with each other, by UUID. Some are the VMM's own; for the others it knows which back-end has
/// them.
///
/// One thread at a time uses it: the one that runs the front-ends that use it.
public final class SharedObjects {
    /// The most names of one back-end.
    static let maximumForOne = 1024

    /// Either a file of the VMM's, or the front-end whose back-end has it.
    private struct Object {
        let name: ObjectName
        let file: SharedDescriptor?
        /// A front-end takes its objects out when its connection ends, and when it goes, so they never outlive it.
        let owner: BackReference<Frontend>?
    }

    /// Usually few, and bounded: a search from one end to the other is enough.
    private var objects: [Object] = []

    /// None yet.
    public init() {}

    /// How many there are.
    public var count: Int { objects.count }

    /// Gives a file of the VMM a name.
    ///
    /// - Parameters:
    ///   - uuid: 16 bytes.
    ///   - fd: the file, which is duplicated.
    /// - Throws: EINVAL (the name), EEXIST, EBADF, EMFILE.
    public func add(_ uuid: [UInt8], fd: Int32) throws(ShmemError) {
        let name = try SharedObjects.name(uuid)
        try requireFree(name)
        do throws(Errno) {
            objects.append(Object(name: name, file: SharedDescriptor(try OwnedDescriptor.duplicate(fd)), owner: nil))
        } catch {
            throw ShmemError(error.code, "cannot duplicate the descriptor of a shared object: \(Errno.text(error.code))")
        }
    }

    /// Takes a file of the VMM out.
    ///
    /// - Parameter uuid: 16 bytes.
    /// - Throws: EINVAL, ENOENT, EPERM (a back-end has it).
    public func remove(_ uuid: [UInt8]) throws(ShmemError) {
        let name = try SharedObjects.name(uuid)
        let index = try index(of: name)
        guard objects[index].owner == nil else { throw ShmemError(EPERM, "a back-end has the shared object with this name") }
        objects.remove(at: index)
    }

    private func index(of name: ObjectName) throws(ShmemError) -> Int {
        guard let index = objects.firstIndex(where: { $0.name == name }) else {
            throw ShmemError(ENOENT, "there is no shared object with this name")
        }
        return index
    }

    private func requireFree(_ name: ObjectName) throws(ShmemError) {
        guard !objects.contains(where: { $0.name == name }) else {
            throw ShmemError(EEXIST, "there is a shared object with this name")
        }
    }

    static func name(_ uuid: [UInt8]) throws(ShmemError) -> ObjectName {
        guard let name = unsafe uuid.withUnsafeBytes({ unsafe ObjectName($0) }) else {
            throw ShmemError(EINVAL, "the name of a shared object is a UUID of 16 bytes, and not \(uuid.count)")
        }
        return name
    }

    // MARK: What back-ends ask

    func add(_ name: ObjectName, of frontend: Frontend) throws(ShmemError) {
        try requireFree(name)
        let mine = objects.reduce(0) { $1.owner === frontend.way ? $0 &+ 1 : $0 }
        guard mine < SharedObjects.maximumForOne else {
            throw ShmemError(ENOSPC, "the back-end has named \(mine) shared objects already")
        }
        objects.append(Object(name: name, file: nil, owner: frontend.way))
    }

    func remove(_ name: ObjectName, of frontend: Frontend) throws(ShmemError) {
        let index = try index(of: name)
        guard objects[index].owner === frontend.way else {
            throw ShmemError(EPERM, "the shared object with this name is not the back-end's")
        }
        objects.remove(at: index)
    }

    /// The connection of a front-end has ended: removes its back-end's objects.
    func removeAll(of frontend: Frontend) {
        let way = frontend.way
        objects.removeAll { $0.owner === way }
    }

    /// The VMM's file, or the front-end whose back-end has it and must be asked.
    func find(_ name: ObjectName) throws(ShmemError) -> (file: SharedDescriptor?, owner: Frontend?) {
        let object = objects[try index(of: name)]
        return (object.file, object.owner?.target)
    }
}

extension FrontendQuestion where Answer == SharedDescriptor {
    /// GET_SHARED_OBJECT: the file that a back-end has under a name.
    static func sharedObject(_ name: ObjectName) -> FrontendQuestion {
        unsafe FrontendQuestion(
            request: .getSharedObject, payload: encoded(ObjectName.size, name.encode)
        ) { reply throws(ShmemError) in
            guard let file = reply.takeDescriptor() else { throw ShmemError(ENOENT, "the back-end has no such shared object") }
            return SharedDescriptor(file)
        }
    }
}

extension Frontend {
    func carryOutSharedObject(_ request: OtherRequest) -> OtherAnswer {
        let isLookup = request.id == BackendRequest.sharedObjectLookup
        let refuse: (ShmemError) -> OtherAnswer = { isLookup ? .noDescriptor($0) : .refused($0) }
        guard let objects = options.sharedObjects, protocolFeatures.contains(.sharedObject) else {
            return refuse(ShmemError(EOPNOTSUPP, .request(request.id), .notServed))
        }
        guard let name = unsafe ObjectName(request.payload) else {
            return unsafe refuse(
                ShmemError(
                    EINVAL, .request(request.id), .wrongPayload(expected: ObjectName.size, got: request.payload.count)))
        }
        guard unsafe request.descriptors.isEmpty else {
            return unsafe refuse(
                ShmemError(EINVAL, .request(request.id), .wrongDescriptors(expected: 0, got: request.descriptors.count)))
        }
        do throws(ShmemError) {
            switch request.id {
            case BackendRequest.sharedObjectAdd: try objects.add(name, of: self)
            case BackendRequest.sharedObjectRemove: try objects.remove(name, of: self)
            default: return try lookUp(name, in: objects)
            }
            return .done
        } catch {
            return refuse(error)
        }
    }

    private func lookUp(_ name: ObjectName, in objects: SharedObjects) throws(ShmemError) -> OtherAnswer {
        let (file, owner) = try objects.find(name)
        if let file { return .descriptor(file) }
        guard let owner else { throw ShmemError(ENOENT, "there is no shared object with this name") }
        // A back-end that waits for this answer cannot answer itself.
        guard owner !== self else { throw ShmemError(EDEADLK, "the shared object is the back-end's own") }
        // A back-end that looks up an object itself may answer nothing before. It would run into the time limit, and this one
        // too.
        guard owner.connection?.channel?.owesAnswer != true else {
            throw ShmemError(EDEADLK, "the back-end that has the shared object waits for one itself")
        }
        // A pending look-up retains neither this front-end nor its channel.
        let asking = history.counters.connections
        var early: Result<SharedDescriptor, ShmemError>?
        var isLater = false
        try owner.pose(FrontendQuestion<SharedDescriptor>.sharedObject(name)) { [way] result in
            guard isLater else {
                early = result
                return
            }
            guard let frontend = way.target, frontend.history.counters.connections == asking else { return }
            let channel = frontend.connection?.channel
            if let lost = channel?.answerUnanswered(result) { frontend.loseChannel(channel, lost) }
            frontend.watch()
        }
        switch early {
        case .some(.success(let file)): return .descriptor(file)
        case .some(.failure(let error)): throw error
        case .none:
            isLater = true
            return .later
        }
    }
}
