import Foundation
import Testing

@testable import Refrain

private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"

/// `URLSession`, against a server that does as it is told.
@Suite struct URLSessionTests {
    let server: RawServer
    let transport = URLSessionTransport()
    /// What the transport has asked and said.
    let heard = Kept<String>()

    init() throws {
        server = try RawServer()
    }

    /// Sends a body; an empty one is a `GET`.
    private func send(_ body: String? = "[]", by transport: URLSessionTransport? = nil) async -> Refrain.HTTPAnswer? {
        let heard = heard
        let request = Refrain.HTTPRequest(
            url: server.url + "/track/?verbose=1",
            open: {
                heard.add("open")
                return body.map { Data($0.utf8) }
            },
            started: { heard.add("started") }
        )
        let transport = transport ?? self.transport
        return await waiting { try? transport.send(request) }
    }

    @Test func whatARequestSays() async throws {
        let body = "[\"" + String(repeating: "ä", count: 100_000) + "\"]"
        async let answer = send(body)
        let request = try await server.request()
        request.answer(ok)
        #expect(await answer == .response(status: 200, retryAfter: nil, body: "1"))
        let lines = request.text.components(separatedBy: "\r\n")
        #expect(lines.first == "POST /track/?verbose=1 HTTP/1.1")
        for line in [
            "Content-Type: application/json", "Accept: application/json", "User-Agent: refrain-swift",
            "Accept-Language: *",
        ] {
            #expect(lines.contains(line))
        }
        #expect(lines.last == body)
    }

    @Test func withoutABodyItAsks() async throws {
        async let answer = send("")
        let request = try await server.request()
        request.answer(ok)
        #expect(await answer == .response(status: 200, retryAfter: nil, body: "1"))
        #expect(request.text.hasPrefix("GET /track/?verbose=1 HTTP/1.1\r\n"))
        #expect(heard.all == ["open", "started"])
    }

    /// What `URLSession` says of who cannot prove to be the collector, and of other failures.
    @Test func whyACertificateIsNotTrusted() {
        for code: URLError.Code in [
            .serverCertificateHasBadDate, .serverCertificateUntrusted, .serverCertificateHasUnknownRoot,
            .serverCertificateNotYetValid, .unknown,
        ] {
            let why = "SSL certificate problem: self-signed certificate"
            #expect(certificateFault(URLError(code, userInfo: [NSLocalizedDescriptionKey: why])) == why)
        }
        for code: URLError.Code in [.timedOut, .cannotConnectToHost, .secureConnectionFailed, .cancelled, .unknown] {
            #expect(certificateFault(URLError(code)) == nil)
        }
        #expect(certificateFault(RawServer.Failure()) == nil)
    }

    @Test func whatMayNotBeSentIsNot() async {
        #expect(await send(nil) == .unreachable)
        #expect(heard.all == ["open"])
        #expect(server.isUntouched())
    }

    @Test(arguments: [2, 200_000]) func itHasStartedBeforeTheAnswer(length: Int) async throws {
        async let answer = send(String(repeating: " ", count: length), by: URLSessionTransport(answerTimeout: 1))
        let request = try await server.request()
        #expect(await answer == .timedOut)
        #expect(heard.all == ["open", "started"])
        #expect(await request.isClosed())
    }

    @Test func aConnectionThatIsNotMadeIsGivenUp() async throws {
        let full = try server.filled()
        #expect(await send(by: URLSessionTransport(connectTimeout: 0.1, answerTimeout: 600)) == .unreachable)
        #expect(heard.all == ["open"])
        withExtendedLifetime(full) {}
    }

    @Test func whatIsBrokenOffIsUnreachable() async throws {
        async let answer = send()
        let request = try await server.request()
        transport.cancel()
        #expect(await answer == .unreachable)
        #expect(await request.isClosed())
    }

    @Test func whatIsBrokenOffBeforeItBeginsIsNotSent() async {
        let transport = transport
        let request = Refrain.HTTPRequest(
            url: server.url,
            open: {
                transport.cancel()
                return Data("[]".utf8)
            },
            started: {}
        )
        #expect(await waiting { try? transport.send(request) } == .unreachable)
        #expect(server.isUntouched())
    }

    @Test func cookiesAreNotKept() async throws {
        for _ in 0..<2 {
            async let answer = send()
            let request = try await server.request()
            #expect(!request.text.contains("Cookie"))
            request.answer(ok.replacingOccurrences(of: "OK", with: "OK\r\nSet-Cookie: a=b\r\nConnection: close"))
            #expect(await answer != .unreachable)
        }
    }

    @Test func redirectsAreNotFollowed() async throws {
        let elsewhere = try RawServer()
        async let answer = send()
        let redirect = "HTTP/1.1 307 Temporary Redirect\r\nLocation: \(elsewhere.url)/\r\nContent-Length: 0\r\n\r\n"
        try await server.request().answer(redirect)
        #expect(await answer == .response(status: 307, retryAfter: nil, body: ""))
        #expect(elsewhere.isUntouched())
    }

    @Test func anAnswerMayBeLongAndIsNotReadForEver() async throws {
        async let answer = send()
        let request = try await server.request()
        let text = String(repeating: "x", count: 65_536)
        // It says that more is to come, and nothing ever comes.
        request.answer("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n\(text)beyond")
        #expect(await answer == .response(status: 200, retryAfter: nil, body: text))
        #expect(await request.isClosed())
    }

    @Test func aDateOfReturnIsPassedOnInSeconds() async throws {
        async let answer = send()
        let dates = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:47:37 GMT"
        try await server.request().answer("HTTP/1.1 503 Busy\r\n\(dates)\r\nContent-Length: 0\r\n\r\n")
        #expect(await answer == .response(status: 503, retryAfter: "120", body: ""))
    }

    @Test func ofAnAnswerThatBreaksOffTheStatusIsLeft() async throws {
        async let answer = send()
        try await server.request().answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1")  // and closes
        #expect(await answer == .response(status: 200, retryAfter: nil, body: ""))
    }

    /// The second one's body breaks off with the connection.
    @Test(arguments: ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n"])
    func anAnswerMayComeBeforeTheBodyIsOut(rest: String) async throws {
        // More than the network holds while nobody reads.
        async let answer = send(String(repeating: " ", count: 8_000_000))
        try await server.request(wholly: false).answer("HTTP/1.1 413 Too Large\r\n" + rest)  // and closes
        #expect(await answer == .response(status: 413, retryAfter: nil, body: ""))
    }

    @Test func nobodyListens() async throws {
        let silent = try nobody()
        let request = Refrain.HTTPRequest(url: silent, open: { Data("[]".utf8) }, started: {})
        let transport = transport
        #expect(await waiting { try? transport.send(request) } == .unreachable)
    }
}
