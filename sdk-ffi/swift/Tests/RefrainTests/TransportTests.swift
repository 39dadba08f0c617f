import Foundation
import Testing

@testable import Refrain

/// The network, and whatever else may stand in for it, cannot harm the app or lose a record.
@Suite struct TransportTests {
    let world: World

    init() throws {
        world = try World()
    }

    @Test func aDeveloperReadsWhyNothingIsSent() async throws {
        let rule: Refrain.Value = ["match": ["method": "POST"] as Refrain.Value, "act": ["status": 401] as Refrain.Value]
        try await world.server.post("/mock/faults", [rule])
        let said = try await world.elsewhere("refused")
        #expect(said == "refrain: the collector answers 401: check the token and the endpoint; sending is paused, nothing is lost")
    }

    @Test func oneThatThrowsLosesNothing() async throws {
        let throwing = Scripted { _ in throw RawServer.Failure() }
        let client = try world.client(granted: true) { $0.transport = throwing }
        client.track("kept")
        #expect(await !client.flush(timeout: 60))
        #expect(throwing.calls > 0)
        #expect([client.stats().delivered, client.stats().queued] == [0, 1])
        await client.close(timeout: 0)

        let later = try world.client(granted: true)
        later.track("and sent")
        #expect(await later.flush(timeout: 60))
        #expect(try await world.server.names() == ["and sent", "kept"])
    }

    @Test func whatOneThrowsIsNamedInTheLogOnce() {
        let said = Kept<String>()
        let host = Host(Scripted { _ in throw RawServer.Failure() }, nil, Warnings { said.add($0) })
        let request = Refrain.HTTPRequest(url: "", open: { nil }, started: {})
        for _ in 0..<2 {
            #expect(throws: RawServer.Failure.self) { try host.answer(to: request) }
        }
        #expect(said.all == ["the transport throws Failure; what it was to send is kept, and sent later"])
    }

    #if os(Linux)
        @Test func aLogThatCannotBeWrittenEndsNobody() throws {
            write("a warning", to: try #require(FileHandle(forWritingAtPath: "/dev/full")))
        }
    #endif

    @Test func aBodyIsGivenOutInTimeOnly() async throws {
        let kept = Kept<Refrain.HTTPRequest>()
        let hoarding = Scripted { request in
            kept.add(request)
            return .unreachable
        }
        let client = try world.client(granted: true) { $0.transport = hoarding }
        client.track("kept")
        #expect(await !client.flush(timeout: 60))
        try await client.optOut()
        #expect(!kept.all.isEmpty)
        #expect(kept.all.allSatisfy { $0.open() == nil })
    }

    @Test func oneThatNeverSaysItBeganHoldsNobodyUp() async throws {
        let bodies = Kept<String?>()
        let greedy = Scripted { request in
            for _ in 0..<2 {
                bodies.add(request.open().map { String(decoding: $0, as: UTF8.self) })
            }
            return .response(status: 200, retryAfter: nil, body: "1")
        }
        let client = try world.client(granted: true) { $0.transport = greedy }
        client.track("sent")
        #expect(await client.flush(timeout: 60))
        #expect(bodies.all.map { $0?.contains(#""event":"sent""#) } == [true, nil])
        try await client.optOut()  // throws if the sending lock were still held
    }

    @Test func aStatusThatIsNoneIsNobodysAnswer() async throws {
        let odd = Scripted { request in
            _ = request.open()
            return .response(status: -1, retryAfter: nil, body: "1")
        }
        let client = try world.client(granted: true) { $0.transport = odd }
        client.track("kept")
        #expect(await !client.flush(timeout: 60))
        #expect(client.stats().queued == 1)
    }

    @Test func nobodyListens() async throws {
        let silent = try nobody()
        let client = try world.client(granted: true) { $0.endpoint = silent }
        client.track("kept")
        #expect(await !client.flush(timeout: 60))
        #expect(client.stats().queued == 1)
    }

    @Test func onWhichDateTheCollectorIsBack() {
        let (later, date) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:47:37 GMT")
        #expect(inSeconds(retryAfter: later, date: date) == "120")
        #expect(inSeconds(retryAfter: date, date: later) == nil)
        #expect(inSeconds(retryAfter: later, date: nil) == nil)  // by this clock it has passed
        for value in [nil, "", "120", "soon", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            #expect(inSeconds(retryAfter: value, date: date) == value)
        }
    }
}

/// Requests by `URLSession` that nobody answers.
@Suite struct HangingTests {
    let world: World
    let server: RawServer

    init() throws {
        world = try World()
        server = try RawServer()
    }

    /// A client whose request hangs, and that request.
    private func hanging() async throws -> (Refrain, Connection) {
        let client = try world.client(granted: true) { $0.endpoint = server.url }
        client.track("under way")
        await client.flush(timeout: 0)
        return try await (client, server.request())
    }

    @Test func c5AWithdrawalDoesNotWaitForAnAnswer() async throws {
        let (client, request) = try await hanging()
        try await client.optOut()
        #expect(client.hasOptedOut())
        #expect(await request.isClosed())
    }

    @Test func c5NorDoesOneByAnotherProcess() async throws {
        let (client, request) = try await hanging()
        _ = try await world.elsewhere("optOut")  // fails where the sending lock is held for long
        #expect(request.text.contains("under way"))
        await client.flush(timeout: 60)
        #expect(client.hasOptedOut())
    }

    @Test func aClientIsClosedMeanwhile() async throws {
        let (client, request) = try await hanging()
        #expect(await !client.close(timeout: 0))
        #expect(await request.isClosed())

        let later = try world.client(granted: true)
        later.track("new")
        #expect(await later.flush(timeout: 60))
        try await world.server.wait(for: "under way")
        #expect(try await world.server.names() == ["new", "under way"])
    }
}

/// A transport whose behaviour is a function.
final class Scripted: Refrain.HTTPTransport {
    private let behaviour: @Sendable (Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer
    private let seen = Kept<Void>()

    init(_ behaviour: @escaping @Sendable (Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer) {
        self.behaviour = behaviour
    }

    var calls: Int { seen.all.count }

    func send(_ request: Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer {
        seen.add(())
        return try behaviour(request)
    }

    func cancel() {}
}

/// What came from another thread.
final class Kept<Element: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var elements: [Element] = []

    var all: [Element] { lock.withLock { elements } }

    func add(_ element: Element) {
        lock.withLock { elements.append(element) }
    }
}
