import Foundation
import Refrain

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The real mock server, on a free port, for as long as this lives. `REFRAIN_MOCK_BIN` names its program.
final class MockServer: Sendable {
    let url: String
    private let process: Process

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameter folder: where it stores, if not in memory.
    init(folder: URL? = nil) throws {
        guard let program = ProcessInfo.processInfo.environment["REFRAIN_MOCK_BIN"] else {
            throw Failure(
                description: "REFRAIN_MOCK_BIN must name the mock server's program: cargo build -p refrain-mock")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["serve", "--listen", "127.0.0.1:0"] + (folder.map { ["--store", $0.path] } ?? [])
        process.standardError = FileHandle.nullDevice  // it would keep open what the test program's output goes to
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { break }
            line += more
        }
        let ready = String(decoding: line, as: UTF8.self).split(separator: "\n").first ?? ""
        guard ready.hasPrefix("refrain-mock ready http://"), let url = ready.split(separator: " ").last else {
            kill(process.processIdentifier, SIGKILL)
            throw Failure(description: "the server says: \(ready)")
        }
        self.url = String(url)
        self.process = process
    }

    deinit {
        kill(process.processIdentifier, SIGKILL)
    }

    func get(_ path: String) async throws -> Refrain.Value {
        try await ask("GET", path)
    }

    @discardableResult
    func post(_ path: String, _ document: Refrain.Value) async throws -> Refrain.Value {
        try await ask("POST", path, document)
    }

    /// Its answer to a request, whatever the status.
    func send(_ method: String, _ path: String, _ document: Refrain.Value? = nil) async throws -> (
        status: Int, body: Data
    ) {
        guard let url = URL(string: url + path) else { throw Failure(description: "\(path) is no path") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.timeoutInterval = 90
        if let document {
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            request.httpBody = Data(try json(document).utf8)
        }
        let (body, response) = try await URLSession.shared.data(for: request)
        return ((response as? HTTPURLResponse)?.statusCode ?? 0, body)
    }

    private func ask(_ method: String, _ path: String, _ document: Refrain.Value? = nil) async throws -> Refrain.Value {
        let (status, body) = try await send(method, path, document)
        guard status == 200 else {
            throw Failure(description: "\(path): \(status) \(String(decoding: body, as: UTF8.self))")
        }
        return Refrain.Value(any: try JSONSerialization.jsonObject(with: body, options: .fragmentsAllowed))
    }

    /// The events that it has stored.
    func events() async throws -> [Refrain.Value] {
        try await get("/mock/events?limit=10000")["events"].elements
    }

    /// Their names, sorted.
    func names() async throws -> [String] {
        try await events().map { $0["event"].text }.sorted()
    }

    /// The properties of the only event of that name.
    func properties(of event: String) async throws -> Refrain.Value {
        let found = try await events().filter { $0["event"].text == event }
        guard found.count == 1 else { throw Failure(description: "\(found.count) events \(event)") }
        return found[0]["properties"]
    }

    /// How many requests have arrived, but for those that ask about it.
    func arrived() async throws -> Int {
        try await get("/mock/requests")["requests"].elements.count
    }

    /// Waits until events of that name are there.
    func wait(for event: String, min: Int = 1) async throws {
        try await post("/mock/wait", ["event": event, "min": min, "timeout_ms": 60_000])
    }
}
