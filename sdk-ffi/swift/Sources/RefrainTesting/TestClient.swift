import Foundation
import Refrain

/// A client for tests, with its own data folder and collector, to check that the right events leave and that after a
/// "no" nothing does. ``client`` is a real one: the engine, the store on disk and the threads are the ones that ship.
/// Only the collector is in memory, and answers as it is told.
///
/// ```swift
/// let test = try TestClient()
/// let shop = Shop(refrain: test.client)                       // in place of the app's own
/// shop.sell("umbrella", 12.5)
/// try await test.expectNothingSent()                          // nobody has decided yet
/// try await test.client.optIn()
/// try await test.expectEvent("Bought", ["item": "umbrella"])
/// try await test.client.optOut()
/// shop.sell("scarf", 9)
/// try await test.expectNothingSent()
/// try await test.expectNothingKept()
/// await test.close()
/// ```
///
/// Time is real. No expectation waits for an interval: queued records are sent at once. A retry takes as long as it
/// takes in an app.
///
/// An expectation that is not met throws an ``ExpectationFailure``, which any test runner reports.
public final class TestClient: @unchecked Sendable {
    let collector = MemoryCollector()
    private let token: String
    private let configuration: Refrain.Configuration
    private let folder: URL
    private let lock = NSLock()
    private var running: Refrain

    /// Starts a client on an empty folder.
    ///
    /// - Parameters:
    ///   - token: the project's token.
    ///   - configure: the app's settings. `endpoint`, `dataDir` and `transport` are always those of the test.
    /// - Throws: `Refrain.ConfigError` if a setting cannot work.
    public init(
        token: String = "test-token", configure: (inout Refrain.Configuration) -> Void = { _ in }
    ) throws(Refrain.ConfigError) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("refrain-test-\(UUID().uuidString)")
        var configuration = Refrain.Configuration()
        configure(&configuration)
        configuration.endpoint = "https://collector.test"
        configuration.dataDir = folder
        configuration.transport = collector
        self.token = token
        self.configuration = configuration
        self.folder = folder
        running = try Self.started(token, configuration)
    }

    /// Where a test has ended without ``close()``.
    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// The client to give to the app. ``restart()`` starts another one.
    public var client: Refrain { lock.withLock { running } }

    /// `Refrain.optIn` of ``client``.
    public func optIn() async throws {
        try await client.optIn()
    }

    /// `Refrain.optOut` of ``client``.
    public func optOut(erase: Bool = false, deleteProfile: Bool = false) async throws {
        try await client.optOut(erase: erase, deleteProfile: deleteProfile)
    }

    /// Ends the client without another attempt to deliver, and starts a new one on the same folder, as though the app's
    /// process had ended and another one begun. The collector stays.
    ///
    /// - Returns: the new ``client``, for the app.
    /// - Throws: `Refrain.ConfigError` if the client cannot be created.
    @discardableResult
    public func restart() async throws(Refrain.ConfigError) -> Refrain {
        collector.isClosed = true
        await client.close(timeout: hang)
        collector.isClosed = false
        let next = try Self.started(token, configuration)
        lock.withLock { running = next }
        return next
    }

    /// Closes the client, and deletes the folder.
    public func close() async {
        await client.close(timeout: hang)
        try? FileManager.default.removeItem(at: folder)
    }

    /// Sets the collector's answer to the next request that has none set yet. With 2xx it takes the records. Call it
    /// several times for several requests in a row.
    ///
    /// - Parameter retryAfter: `Retry-After`, in seconds.
    public func answerNext(status: Int, retryAfter: Int? = nil) {
        collector.answerNext(status: status, retryAfter: retryAfter)
    }

    /// Sets whether the collector is unreachable from now on, so that no request leaves.
    public func collectorAway(_ isAway: Bool) {
        collector.isAway = isAway
    }

    /// Every request that has left so far, including those of the erasure outbox, whether or not the collector took it.
    public var requests: [SentRequest] { collector.requests }

    /// Every event that the collector has taken so far, in order.
    public var events: [SentEvent] { collector.taken(.event).map { SentEvent($0.members) } }

    private static func started(
        _ token: String, _ configuration: Refrain.Configuration
    ) throws(Refrain.ConfigError) -> Refrain {
        let client = try Refrain.start(token: token) { $0 = configuration }
        // Until the folder is read every call is held: what the app is told would be a matter of luck.
        _ = client.consent()
        return client
    }
}

/// Longer than everything takes that has not gone wrong, in seconds.
let hang: TimeInterval = 60
