import Foundation
import Refrain
import RefrainTesting
import Testing

/// The test kit finds what is wrong with an app, and nothing where nothing is.
@Suite struct TestClientTests {
    private func granted() throws -> TestClient {
        try TestClient { $0.defaultConsent = .granted }
    }

    /// Expects that an expectation fails, with these texts.
    private func refuses(
        _ texts: String..., at place: SourceLocation = #_sourceLocation,
        _ expectation: () async throws -> Void
    ) async {
        do {
            try await expectation()
            Issue.record("nothing was found", sourceLocation: place)
        } catch {
            for text in texts {
                #expect("\(error)".contains(text), sourceLocation: place)
            }
        }
    }

    @Test func anAppIsSeenThroughItsOwnClient() async throws {
        let test = try TestClient()
        let of: Refrain.Value = ["kind": "rain", "size": 2]
        let given: Refrain.Properties = [
            "item": "umbrella", "price": 12.5, "of": of, "in": ["sale", of] as Refrain.Value, "gift": nil,
            "at": Date(timeIntervalSince1970: 0),
        ]
        #expect(test.client.track("Bought", given) == .held)
        try await test.expectNothingSent()
        try await test.optIn()
        let wanted: Refrain.Properties = [
            "of": ["size": 2.0], "in": ["sale", ["kind": "rain"]] as Refrain.Value, "gift": nil,
            "at": Date(timeIntervalSince1970: 0.5),
        ]
        let event = try await test.expectEvent("Bought", wanted)
        #expect(event.properties["price"] == 12.5)
        #expect(test.events.map(\.name) == ["Bought", "$opt_in"])
        test.client.profile().set(["plan": "pro", "seats": 3])
        let update = try await test.expectProfile(["$set": ["plan": "pro"]])
        #expect(update["$set"] == ["plan": "pro", "seats": 3])
        try await test.optOut()
        #expect(test.client.track("Bought", ["item": "scarf"]).isRejected)
        try await test.expectNothingSent()
        try await test.expectNothingKept()
        await test.close()
    }

    @Test func whatIsOtherwiseIsTold() async throws {
        let test = try TestClient()
        let here = "RefrainTests/TestClientTests.swift:\(#line + 2): "
        await refuses("\(here)no event \"Bought\" has arrived", "optIn()") {
            try await test.expectEvent("Bought")
        }
        try await test.optIn()
        test.client.track("Bought", ["item": "umbrella", "count": 1, "of": ["sale"]])
        await refuses("with [\"item\": \"scarf\"]", "\"item\" is \"umbrella\", not \"scarf\"") {
            try await test.expectEvent("Bought", ["item": "scarf"])
        }
        await refuses("\"count\" is 1, not \"1\"") {
            try await test.expectEvent("Bought", ["count": "1"])
        }
        // The same to Objective-C.
        await refuses("\"count\" is 1, not true") {
            try await test.expectEvent("Bought", ["count": true])
        }
        await refuses("\"of\" is [\"sale\"], not [\"sale\", \"new\"]", "\"size\" is missing") {
            try await test.expectEvent("Bought", ["of": ["sale", "new"], "size": nil])
        }
        await refuses("no profile update", "arrived: $opt_in, Bought") {
            try await test.expectProfile(["$set": [:] as Refrain.Value])
        }
        await refuses("something has left", "umbrella") {
            try await test.expectNothingSent()
        }
        try await test.expectNothingSent()
        try await test.expectEvent("Bought")
        await refuses("expected before", "2 delivered") {
            try await test.expectEvent("Bought")
        }
        let device = try #require(test.client.deviceId)
        await refuses("something is kept", device) {
            try await test.expectNothingKept()
        }
        await test.close()
    }

    @Test func whatTheCollectorRefusesIsSentAgain() async throws {
        let test = try granted()
        test.answerNext(status: 503)
        test.answerNext(status: 429, retryAfter: 1)
        test.client.track("Bought")
        try await test.expectEvent("Bought", timeout: 60)
        #expect(test.requests.map(\.status) == [503, 429, 200])
        await test.close()
    }

    @Test func whatTheCollectorRefusesWaitsAsLongAsItSays() async throws {
        let test = try granted()
        test.answerNext(status: 503, retryAfter: 3600)
        test.client.track("Bought")
        #expect(await !test.client.flush(timeout: 60))
        #expect(test.events.isEmpty)
        #expect(try #require(test.client.audit().nextActionIn) > 3000)
        await refuses("1 queued", "last answer of the collector: 503") {
            try await test.expectEvent("Bought", timeout: 0)
        }
        await test.close()
    }

    @Test func whatTheCollectorDoesNotGetIsThereAfterARestart() async throws {
        let test = try granted()
        test.collectorAway(true)
        test.client.track("Bought")
        await refuses("the collector is away", "1 queued") {
            try await test.expectEvent("Bought", timeout: 0)
        }
        let before = test.client
        let after = try await test.restart()
        #expect(after === test.client && after !== before)
        #expect(test.requests.isEmpty)
        test.collectorAway(false)
        let event = try await test.expectEvent("Bought")
        #expect(event.properties["$device_id"] == after.deviceId?.refrainValue)
        try await test.optOut()
        #expect(try await test.restart().hasOptedOut())
        try await test.expectNothingKept()
        await test.close()
    }

    @Test func whatWasNotSentBeforeARestartIsNotSentByIt() async throws {
        let test = try TestClient {
            $0.defaultConsent = .granted
            $0.flushInterval = 3600
        }
        test.client.track("Bought")
        try await test.restart()
        #expect(test.requests.isEmpty)
        try await test.expectEvent("Bought")
        await test.close()
    }

    @Test func whatAPersonAsksForIsNotSomethingThatHasLeft() async throws {
        let test = try granted()
        test.client.identify("user-1")
        test.client.track("Bought")
        try await test.expectEvent("Bought")
        // Through the app's own client.
        try await test.client.optOut(erase: true, deleteProfile: true)
        await test.client.close(timeout: 60)
        #expect(test.requests.filter { !$0.url.contains("/track/") }.count == 2)
        try await test.expectNothingSent()
        try await test.expectNothingKept()
        let outbox = test.client.audit().outbox
        #expect(outbox.map(\.kind) == ["device", "profile"])
        #expect(outbox.map(\.state) == ["completed", "completed"])
        #expect(outbox.first?.answer?.contains(#""receipt":{"events":2}"#) == true)
        await test.close()
    }

    @Test func aDeletionThatTheAppAsksForIsSomethingThatHasLeft() async throws {
        let test = try granted()
        test.client.identify("user-1")
        try await test.expectEvent("$identify")
        test.client.profile().delete()
        await refuses("something has left", "\"$delete\"") {
            try await test.expectNothingSent()
        }
        await test.close()
    }

    @Test func nothingStaysBehind() async throws {
        for isClosed in [true, false] {
            var test: TestClient? = try granted()
            let client = try #require(test?.client)
            client.track("Bought")
            try await test?.expectEvent("Bought")
            #expect(!client.audit().files.isEmpty)
            if isClosed {
                await test?.close()
            } else {
                await client.close(timeout: 60)  // which writes into the folder otherwise
                test = nil
            }
            #expect(client.audit().files.isEmpty)
        }
    }

    @Test func eachHasAFolderOfItsOwn() async throws {
        let (one, other) = (try granted(), try granted())
        try await one.optOut()
        other.client.track("Bought")
        try await other.expectEvent("Bought")
        try await one.expectNothingSent()
        // It is not the app's to say.
        let own = Scripted { _ in .unreachable }
        let elsewhere = try TestClient {
            $0.dataDir = URL(string: "https://example.org/folder")
            $0.endpoint = "no address"
            $0.transport = own
            $0.defaultConsent = .granted
        }
        #expect(elsewhere.client.track("Bought") == .accepted)
        try await elsewhere.expectEvent("Bought")
        #expect(own.calls == 0)
        for test in [one, other, elsewhere] { await test.close() }
    }
}
