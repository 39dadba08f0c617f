import Foundation

@testable import Refrain

#if canImport(Glibc)
    import Glibc
    // Processes that start at this moment must not inherit it: its end would not be seen.
    private let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    private let sending = Int32(MSG_NOSIGNAL)
#else
    import Darwin
    private let stream = SOCK_STREAM
    private let sending: Int32 = 0
#endif

/// A client in a process of its own, `Tests/ScenarioClient`. It ends with this at the latest.
final class ClientProcess: Sendable {
    private let process = Process()
    private let socket: Int32

    /// How long an answer or the end may take, in seconds. Nothing waits for it to pass.
    private static let patience = 120

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, stream, 0, &ends) == 0 else { throw Unplayable("no socket: \(errno)") }
        socket = ends[0]
        var timeout = timeval(tv_sec: Self.patience, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let theirs = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        process.executableURL = builtProducts().appendingPathComponent("ScenarioClient")
        process.standardInput = theirs
        process.standardOutput = theirs
        try process.run()
        try theirs.close()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        close(socket)
    }

    /// Has the client do something; what came of it.
    func ask(_ what: String, _ details: [String: Refrain.Value] = [:]) async throws -> Refrain.Value {
        let question = details.merging(["do": .string(what)]) { $1 }.mapValues(\.json)
        let line = try JSONSerialization.data(withJSONObject: question) + Data("\n".utf8)
        let answer = try await waiting { Result { try self.exchange(line) } }.get()
        let members = try said(answer).object()
        if let error = members["error"] { throw Unplayable("the client: \(error)") }
        return members["done"] ?? .null
    }

    /// Ends it after the client's shutdown, and waits until it has ended.
    func leave() async throws {
        shutdown(socket, Int32(SHUT_WR))
        let left = await waiting { self.received() }
        guard left?.isEmpty == true else { throw Unplayable("the client's process does not end") }
        let status = await ended()
        if status != 0 { throw Unplayable("the client's process ended with \(status)") }
    }

    /// Ends it as SIGKILL does.
    func destroy() async {
        kill(process.processIdentifier, SIGKILL)
        _ = await ended()
    }

    private func ended() async -> Int32 {
        await waiting {
            self.process.waitUntilExit()
            return self.process.terminationStatus
        }
    }

    private func exchange(_ line: Data) throws -> Data {
        var unsent = line[...]
        while !unsent.isEmpty {
            let count = unsent.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, sending) }
            if count <= 0 { throw Unplayable("the client's process is gone") }
            unsent = unsent.dropFirst(count)
        }
        var answer = Data()
        while answer.last != UInt8(ascii: "\n") {
            guard let more = received(), !more.isEmpty else { throw Unplayable("the client's process does not answer") }
            answer += more
        }
        return answer
    }

    /// What has come; empty at its end, `nil` where nothing comes in time.
    private func received() -> Data? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &buffer, buffer.count, 0)
        return count < 0 ? nil : Data(buffer.prefix(count))
    }
}
