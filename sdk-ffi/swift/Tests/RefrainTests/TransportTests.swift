import Foundation
import Testing

@testable import Refrain

/// The network, and whatever else may stand in for it, cannot harm the app or lose a record.
@Suite struct TransportTests {
    let world: World

    init() throws {
        world = try World()
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
        let bodies = Kept<Data?>()
        let greedy = Scripted { request in
            bodies.add(request.open())
            bodies.add(request.open())
            return .response(status: 200, retryAfter: nil, body: "1")
        }
        let client = try world.client(granted: true) { $0.transport = greedy }
        client.track("sent")
        #expect(await client.flush(timeout: 60))
        #expect(bodies.all.count == 2)
        #expect(bodies.all[0].map { String(decoding: $0, as: UTF8.self).contains(#""event":"sent""#) } == true)
        #expect(bodies.all[1] == nil)
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

/// `URLSession`, against a server that does as it is told.
@Suite struct URLSessionTests {
    let world: World
    let server: RawServer

    init() throws {
        world = try World()
        server = try RawServer()
    }

    private func client(_ transport: any Refrain.HTTPTransport = URLSessionTransport()) throws -> Refrain {
        try world.client(granted: true) {
            $0.endpoint = server.url
            $0.transport = transport
        }
    }

    @Test func whatARequestSays() async throws {
        let client = try client()
        client.track("Ä", ["text": String(repeating: "ä", count: 100_000)])
        async let flushed = client.flush(timeout: 60)
        let request = try await server.request()
        request.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
        #expect(await flushed)
        let lines = request.text.components(separatedBy: "\r\n")
        #expect(lines[0] == "POST /track/?verbose=1&ip=0 HTTP/1.1")
        for line in [
            "Content-Type: application/json", "Accept: application/json", "User-Agent: refrain-swift",
            "Accept-Language: *",
        ] {
            #expect(lines.contains(line))
        }
        #expect(!request.text.contains("Cookie"))
        #expect(lines.last?.hasPrefix(#"[{"event":"Ä""#) == true)
        #expect(client.stats().delivered == 1)
    }

    @Test func cookiesAreNotKept() async throws {
        let client = try client()
        for _ in 0..<2 {
            client.track("Event")
            async let flushed = client.flush(timeout: 60)
            let request = try await server.request()
            #expect(!request.text.contains("Cookie"))
            request.answer("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1")
            #expect(await flushed)
        }
    }

    @Test func redirectsAreNotFollowed() async throws {
        let client = try client()
        client.track("kept")
        async let flushed = client.flush(timeout: 60)
        let there = "\(world.server.url)/track/?verbose=1&ip=0"
        try await server.request().answer(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: \(there)\r\nContent-Length: 0\r\n\r\n")
        #expect(await !flushed)
        #expect(client.stats().queued == 1)
        #expect(try await world.server.arrived() == 0)
    }

    @Test func anAnswerMayBeLongAndIsNotReadForEver() async throws {
        let watched = Watched(URLSessionTransport())
        let client = try client(watched)
        client.track("kept")
        async let flushed = client.flush(timeout: 60)
        let request = try await server.request()
        // It says that more is to come, and nothing ever comes.
        request.answer("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + String(repeating: "x", count: 70_000))
        #expect(await !flushed)
        guard case let .response(200, nil, body)? = watched.answers.all.first else {
            Issue.record("\(watched.answers.all)")
            return
        }
        #expect(body.count == 65_536)
        #expect(await request.isClosed())
    }

    @Test func retryAfterIsPassedOn() async throws {
        let watched = Watched(URLSessionTransport())
        let client = try client(watched)
        client.track("kept")
        async let flushed = client.flush(timeout: 60)
        try await server.request().answer(
            """
            HTTP/1.1 503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:47:37 GMT\r
            Content-Length: 0\r\n\r\n
            """)
        #expect(await !flushed)
        #expect(watched.answers.all.first == .response(status: 503, retryAfter: "120", body: ""))
    }

    @Test func anAnswerThatDoesNotComeIsNotWaitedForForEver() async throws {
        let watched = Watched(URLSessionTransport(answerTimeout: 1))
        let client = try client(watched)
        client.track("kept")
        async let flushed = client.flush(timeout: 60)
        let request = try await server.request()
        #expect(await !flushed)
        #expect(watched.answers.all.first == .timedOut)
        #expect(await request.isClosed())
    }

    @Test func anAnswerThatBreaksOffIsNone() async throws {
        let watched = Watched(URLSessionTransport())
        let client = try client(watched)
        client.track("kept")
        async let flushed = client.flush(timeout: 60)
        try await server.request().answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")  // and closes
        #expect(await !flushed)
        #expect(watched.answers.all.first == .unreachable)
    }

    @Test func c5AWithdrawalDoesNotWaitForAnAnswer() async throws {
        let client = try client()
        client.track("under way")
        await client.flush(timeout: 0)
        let request = try await server.request()
        try await client.optOut()
        #expect(client.hasOptedOut())
        #expect(await request.isClosed())
    }

    @Test func c5NorDoesOneByAnotherProcess() async throws {
        let client = try client()
        client.track("under way")
        await client.flush(timeout: 0)
        let request = try await server.request()
        _ = try await world.elsewhere("optOut")  // fails if the sending lock were still held
        #expect(request.text.contains("under way"))
    }

    @Test func aClientIsClosedWhileARequestHangs() async throws {
        let client = try client()
        client.track("kept")
        await client.flush(timeout: 0)
        let request = try await server.request()
        #expect(await !client.close(timeout: 0))
        #expect(await request.isClosed())

        let later = try world.client(granted: true)
        later.track("new")
        #expect(await later.flush(timeout: 60))
        try await world.server.wait(for: "kept")
        #expect(try await world.server.names() == ["kept", "new"])
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

/// A transport whose answers are looked at.
final class Watched: Refrain.HTTPTransport {
    let answers = Kept<Refrain.HTTPAnswer>()
    private let transport: any Refrain.HTTPTransport

    init(_ transport: any Refrain.HTTPTransport) {
        self.transport = transport
    }

    func send(_ request: Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer {
        let answer = try transport.send(request)
        answers.add(answer)
        return answer
    }

    func cancel() {
        transport.cancel()
    }
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
