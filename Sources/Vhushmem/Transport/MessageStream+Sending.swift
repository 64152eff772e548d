// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Sends messages. No call waits.
extension MessageStream {
    var hasUnsent: Bool { !unsent.isEmpty }
    /// The socket tells when what waits can be sent.
    var wantsToWrite: Bool { hasUnsent && !(isHeldUp && unsentDescriptor != nil) }

    enum Sending: Equatable {
        /// The message has gone, or goes as soon as the socket takes it.
        case done
        /// Nothing went: the socket takes no more now, and the descriptor cannot wait in a queue. Try again when it is
        /// writable.
        case later
        case failed(Errno)
    }

    /// Sends one message in one sendmsg. Bytes that the socket does not take wait in a queue; a caller that sends more looks at
    /// `hasUnsent`.
    @_optimize(speed)
    func send(_ message: UnsafeRawBufferPointer, descriptor: Int32? = nil) -> Sending {
        if hasUnsent {
            if case .failed(let error) = flush() { return .failed(error) }
            if hasUnsent { return unsafe queue(message, descriptor) }
        }
        do throws(Errno) {
            let sent = try unsafe Socket.send(message, to: fd, descriptor: descriptor)
            if sent < message.count { unsafe unsent.append(contentsOf: message[max(0, sent)...]) }
            return .done
        } catch {
            guard error.code == EAGAIN else { return .failed(error) }
            return unsafe queue(message, descriptor)
        }
    }

    /// The same with several descriptors.
    func send(_ message: UnsafeRawBufferPointer, descriptors: [Int32]) -> Sending {
        guard descriptors.count > 1 else { return unsafe send(message, descriptor: descriptors.first) }
        if case .failed(let error) = flush() { return .failed(error) }
        if hasUnsent { return .later }
        do throws(Errno) {
            let sent = try unsafe Socket.send(message, to: fd, descriptors: descriptors)
            if sent < message.count { unsafe unsent.append(contentsOf: message[max(0, sent)...]) }
            return .done
        } catch {
            return error.code == EAGAIN ? .later : .failed(error)
        }
    }

    /// The same with a descriptor that can wait, to be closed when it has gone. One message of this kind waits at a time;
    /// nothing is read meanwhile.
    func send(_ message: UnsafeRawBufferPointer, keeping file: SharedDescriptor) -> Sending {
        switch unsafe send(message, descriptor: file.fd) {
        case .later: break
        case .failed(let error) where error.code == ETOOMANYREFS: holdSendingUp()
        case let sending: return sending
        }
        guard !hasUnsent else { return .failed(Errno(ENOBUFS)) }
        unsafe unsent.append(contentsOf: message)
        unsentDescriptor = file
        return .done
    }

    private func queue(_ message: UnsafeRawBufferPointer, _ descriptor: Int32?) -> Sending {
        guard descriptor == nil else { return .later }
        unsafe unsent.append(contentsOf: message)
        return .done
    }

    /// Sends what waits, as far as the socket takes it.
    @discardableResult
    func flush() -> Sending {
        while hasUnsent, mayGoOnSending() {
            let result = unsafe unsent.withUnsafeBytes { bytes -> Result<Int, Errno> in
                do throws(Errno) {
                    return unsafe .success(try Socket.send(bytes, to: fd, descriptor: unsentDescriptor?.fd))
                } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(let sent):
                unsentDescriptor = nil
                unsent.removeFirst(min(max(sent, 0), unsent.count))
            case .failure(let error) where error.code == ETOOMANYREFS && unsentDescriptor != nil: holdSendingUp()
            case .failure(let error): return error.code == EAGAIN ? .done : .failed(error)
            }
        }
        return .done
    }
}
