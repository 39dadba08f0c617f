import Foundation
import Testing

@testable import Refrain

private let planted = "planted-4711-value"

/// A "no" holds: on the wire, in the folder, in the next process, and after a later "yes". Rule ids refer to
/// `sdk-core/src/engine/rules.md`.
@Suite struct WithdrawalTests {
    let world: World

    init() throws {
        world = try World()
    }

    @Test func c3c4OnlyTheConsentRecordIsLeft() async throws {
        let silent = try nobody()
        let client = try world.client(granted: true) { $0.endpoint = silent }
        client.register(["super": planted])
        client.identify("user-\(planted)")
        client.track("Event \(planted)", ["value": planted])
        await client.flush(timeout: 60)
        let device = try #require(client.deviceId)
        // What is looked for below can be found.
        #expect(try !world.folder.holds("Event \(planted)").isEmpty)
        #expect(try !world.folder.holds(device).isEmpty)
        #expect(client.stats().queued > 0)

        try await client.optOut()

        #expect(try world.folder.holds(planted) == [])
        #expect(try world.folder.holds(device) == [])
        let left = client.audit().files
        #expect(Set(left.map(\.kind)) == ["consent"])
        for file in left {
            let bytes = try Data(contentsOf: world.folder.url.appendingPathComponent(file.name))
            #expect(bytes.count == Int(file.bytes))
        }
        for (file, bytes) in try world.folder.files() where !bytes.isEmpty {
            #expect(String(decoding: bytes, as: UTF8.self).contains(#""decision":"denied""#), "\(file)")
        }
        #expect(client.distinctId == nil)
        #expect(client.deviceId == nil)
        #expect(client.hasOptedOut())
        #expect([client.stats().queued, client.stats().held] == [0, 0])
        #expect(client.stats().dropped["withdrawn"] ?? 0 > 0)
    }

    @Test func c5NothingLeavesAfterTheCallReturned() async throws {
        let client = try world.client(granted: true)
        client.track("before")
        #expect(await client.flush(timeout: 60))
        client.track("not yet sent")

        try await client.optOut()

        let arrived = try await world.server.arrived()
        for outcome in [
            client.track("after"), client.identify("user-1"), client.register(["a": 1]), client.unregister("a"),
            client.profile().set(["a": 1]), client.setGroup("company", "acme"),
        ] {
            #expect(reason(outcome) == "denied")
        }
        client.reset()
        await client.flush(timeout: 60)
        await client.close(timeout: 60)
        #expect(try await world.server.arrived() == arrived)
        #expect(try await !world.server.names().contains("after"))
    }

    @Test func c5c7AnotherProcessRemembers() async throws {
        let client = try world.client(granted: true)
        client.track("before")
        #expect(await client.flush(timeout: 60))
        try await client.optOut()
        await client.close()
        let arrived = try await world.server.arrived()
        let said = try await world.elsewhere("look")
        #expect(said.hasPrefix(#"true deny nil rejected(reason: "denied""#), "\(said)")
        #expect(try await world.server.arrived() == arrived)
    }

    @Test func c5ARunningProcessObeysAnotherOnesNo() async throws {
        let client = try world.client(granted: true) { $0.flushInterval = 3600 }
        client.track("waits")
        _ = try await world.elsewhere("optOut")
        await client.flush(timeout: 60)
        await client.close(timeout: 60)
        #expect(try await world.server.names() == [])
    }

    @Test func c6ALaterYesBringsNothingBack() async throws {
        let silent = try nobody()
        let first = try world.client(granted: true) { $0.endpoint = silent }
        first.track("old")
        await first.flush(timeout: 60)
        let device = first.deviceId
        try await first.optOut()
        first.track("refused")
        await first.close(timeout: 0)
        let client = try world.client(granted: true)
        try await client.optIn()
        client.track("new")
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.names() == ["$opt_in", "new"])
        #expect(client.deviceId != nil && device != nil)
        #expect(client.deviceId != device)
        #expect(try await world.server.properties(of: "new")["$device_id"].text == client.deviceId)
    }

    @Test func c11AgreeingTwiceRecordsOneTransition() async throws {
        let client = try world.client()
        try await client.optIn()
        try await client.optIn()
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.names() == ["$opt_in"])
    }

    @Test func pendingWritesAndSendsNothingUntilThePersonAgrees() async throws {
        let client = try world.client()
        #expect(client.track("asked", ["value": planted]) == .held)
        #expect(client.consent().verdict == .hold)
        #expect(client.deviceId == nil)
        client.identify("user-1")
        #expect(await client.flush(timeout: 60))  // nothing is queued
        #expect(!world.folder.exists)
        #expect(try await world.server.arrived() == 0)
        try await client.optIn()
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.properties(of: "asked")["value"].text == planted)
        #expect(world.folder.exists)
    }

    @Test func pendingThenNoLeavesOnlyTheNo() async throws {
        let client = try world.client()
        client.track("asked", ["value": planted])
        try await client.optOut()
        await client.close(timeout: 60)
        #expect(try world.folder.holds(planted) == [])
        #expect(try !world.folder.holds(#""decision":"denied""#).isEmpty)
        #expect(try await world.server.arrived() == 0)
    }

    @Test func c10ReadingChangesNothing() async throws {
        let client = try world.client()
        #expect(!client.hasOptedOut())
        let consent = client.consent()
        #expect(consent.decision == .unset && consent.verdict == .hold && consent.reason == "default")
        #expect(consent.sentence.hasSuffix("."))
        _ = (client.stats(), client.audit(), client.distinctId)
        #expect(await client.close(timeout: 60))
        #expect(!world.folder.exists)
    }

    @Test func aSignalIsANoUntilThePersonDecides() async throws {
        let client = try world.client(granted: true)
        client.signals(gpc: true)
        #expect(client.consent().reason == "gpc")
        #expect(reason(client.track("refused")) == "denied")
        client.signals(dnt: true)
        #expect(client.consent().reason == "dnt")
        client.signals(host: true)
        #expect(client.consent().reason == "host")
        #expect(!client.hasOptedOut())
        #expect(try await world.server.arrived() == 0)
        try await client.optIn()
        #expect(client.consent().verdict == .allow)
    }

    @Test func c3ASignalAtTheStartLeavesNothing() async throws {
        let client = try world.client(granted: true) { $0.signals = Refrain.Signals(gpc: true) }
        #expect(client.consent().reason == "gpc")
        #expect(reason(client.track("refused")) == "denied")
        #expect(await client.close())
        #expect(!world.folder.exists)
    }

    @Test func aSignalThatIsNotHonoured() throws {
        let client = try world.client(granted: true) {
            $0.honorGpc = false
            $0.honorDnt = false
        }
        client.signals(gpc: true, dnt: true)
        #expect(client.consent().verdict == .allow)
    }

    @Test func aDefaultOfNo() async throws {
        let client = try world.client { $0.defaultConsent = .denied }
        #expect(client.consent().reason == "default")
        #expect(reason(client.track("refused")) == "denied")
        #expect(await client.close(timeout: 60))
        #expect(!world.folder.exists)
    }

    @Test func c8ADamagedRecordIsANo() async throws {
        let client = try world.client(granted: true)
        try await client.optIn()
        await client.close(timeout: 60)
        for (file, bytes) in try world.folder.files() where bytes.range(of: Data(#""decision""#.utf8)) != nil {
            try Data([0, 0xff]).write(to: file)
        }
        let later = try world.client(granted: true)
        #expect(later.consent().verdict == .deny)
        #expect(later.consent().reason == "store_unavailable")
        #expect(reason(later.track("refused")) == "denied")
    }

    @Test func aFolderThatCannotBeMade() async throws {
        try Data("a file stands where the folder should".utf8).write(to: world.folder.url)
        let client = try world.client(granted: true)
        await #expect {
            try await client.optOut()
        } throws: { error in
            (error as? Refrain.ConsentError)?.code == .notRecorded
                && "\(error)".contains("the data folder cannot be written")
        }
        #expect(reason(client.track("refused")) == "denied")
        #expect(try await world.server.arrived() == 0)
    }

    @Test func c8WithoutAFolderOnlyThisProcessKnows() async throws {
        let client = try world.client(granted: true) { $0.dataDir = nil }
        #expect(client.consent().reason == "store_unavailable")
        #expect(reason(client.track("refused")) == "denied")
        try await client.optIn()
        client.track("agreed")
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.names().contains("agreed"))
        let arrived = try await world.server.arrived()
        await #expect {
            try await client.optOut()
        } throws: { ($0 as? Refrain.ConsentError)?.code == .notRecorded }
        #expect(client.hasOptedOut())
        #expect(reason(client.track("refused")) == "denied")
        await client.flush(timeout: 60)
        #expect(try await world.server.arrived() == arrived)
    }

    @Test func aDecisionIsCarriedOutThoughItsTaskIsCancelled() async throws {
        let client = try world.client()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await client.optOut()
        }
        try await task.value
        #expect(client.hasOptedOut())
    }
}
