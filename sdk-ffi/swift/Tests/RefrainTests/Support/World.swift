import Foundation

@testable import Refrain

/// A server, and a folder for the clients.
struct World: Sendable {
    let server: MockServer
    let folder = Folder()

    init() throws {
        server = try MockServer()
    }

    /// A client on the folder that sends to the server, unless it is told otherwise.
    func client(
        granted: Bool = false, _ configure: (inout Refrain.Configuration) -> Void = { _ in }
    ) throws -> Refrain {
        let client = try Refrain.start(token: "project-token") {
            $0.endpoint = server.url
            $0.dataDir = folder.url
            $0.defaultConsent = granted ? .granted : .pending
            configure(&$0)
        }
        _ = client.consent()  // calls are held until the folder has been read
        return client
    }

    /// Runs another process with a client on the folder; what it prints.
    func elsewhere(_ command: String, endpoint: String? = nil, expecting status: Int32 = 0) async throws -> String {
        let process = Process()
        process.executableURL = builtProducts().appendingPathComponent("Elsewhere")
        process.arguments = [endpoint ?? server.url, folder.url.path, command]
        // Not a pipe: processes that start at this moment would inherit it.
        let output = try Said(in: folder.above)
        process.standardOutput = output.file
        process.standardError = output.file
        return try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { process in
                let (said, ended) = (output.text, process.terminationStatus)
                if ended == status {
                    continuation.resume(returning: said)
                } else {
                    continuation.resume(throwing: MockServer.Failure(description: "it ended with \(ended): \(said)"))
                }
            }
            do {
                try process.run()
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}

/// What a process prints.
private struct Said: Sendable {
    let file: FileHandle
    private let url: URL

    init(in folder: URL) throws {
        url = folder.appendingPathComponent(UUID().uuidString)
        try Data().write(to: url)
        file = try FileHandle(forWritingTo: url)
    }

    var text: String {
        let bytes = (try? Data(contentsOf: url)) ?? Data()
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Where the tests' programs are.
func builtProducts() -> URL {
    #if canImport(Darwin)
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") } ?? .main
        return bundle.bundleURL.deletingLastPathComponent()
    #else
        return Bundle.main.bundleURL
    #endif
}

/// An address at which nobody listens.
func nobody() throws -> String {
    try RawServer().url
}
