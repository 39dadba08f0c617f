import Foundation
import Testing

@testable import Refrain

/// What could not be sent is sent later, and nothing is sent twice.
@Suite struct DeliveryTests {
    let world: World

    init() throws {
        world = try World()
    }

    @Test(arguments: [429, 503]) func aServerThatIsBusyIsAskedAgain(status: Int) async throws {
        let rule: Refrain.Value = [
            "match": ["path": "/track/", "count": 1] as Refrain.Value,
            "act": ["status": status, "retry_after": 1] as Refrain.Value,
        ]
        try await world.server.post("/mock/faults", [rule])
        let client = try world.client(granted: true)
        client.track("Bought")
        #expect(await !client.flush(timeout: 60))
        try await world.server.wait(for: "Bought")
        let statuses = try await world.server.get("/mock/requests")["requests"].elements
            .filter { $0["path"] == "/track/" }.map { $0["status"] }
        #expect(Set(statuses) == [.int(Int64(status)), 200])
        #expect(try await world.server.names() == ["Bought"])
    }

    @Test func whatAClosedClientCouldNotSendTheNextOneSends() async throws {
        let silent = try nobody()
        let first = try world.client(granted: true) { $0.endpoint = silent }
        first.track("kept")
        #expect(await !first.flush(timeout: 60))
        await first.close(timeout: 0)
        let later = try world.client(granted: true)
        later.track("new")
        #expect(await later.flush(timeout: 60))
        #expect(try await world.server.names() == ["kept", "new"])
        #expect(later.stats().recovered + later.stats().adopted == 1)
    }

    @Test func whatAKilledProcessHasRecordedIsSent() async throws {
        _ = try await world.elsewhere("killed", endpoint: nobody(), expecting: SIGKILL)
        let later = try world.client(granted: true)
        later.track("new")
        #expect(await later.flush(timeout: 60))
        try await world.server.wait(for: "kept")
        #expect(try await world.server.names() == ["kept", "new"])
    }

    @Test func twoClientsOnAFolderAreOnePerson() async throws {
        let one = try world.client(granted: true) { $0.flushInterval = 3600 }
        let other = try world.client(granted: true) { $0.flushInterval = 3600 }
        one.track("one")
        await one.close(timeout: 60)
        other.track("other")
        #expect(await other.flush(timeout: 60))  // over the transport that the closed one brought
        #expect(try await world.server.names() == ["one", "other"])
        #expect(try await Set(world.server.events().map { $0["properties"]["$device_id"] }).count == 1)
        try await other.optOut()
        #expect(one.track("late").isRejected)
    }

    @Test func settingsThatContradictAnOpenClientAreRefused() throws {
        let client = try world.client()
        #expect { try world.client(granted: true) } throws: { "\($0)".contains("defaultConsent") }
        #expect(client.consent().verdict == .hold)
    }
}
