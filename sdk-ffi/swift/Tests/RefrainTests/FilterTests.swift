import Foundation
import Testing

@testable import Refrain

private let address: Refrain.Properties = ["street": "Elm Street 9", "city": "Bonn"]

/// The app's own filter: a last look at what is about to be recorded.
@Suite struct FilterTests {
    let world: World
    let seen = Seen()

    init() throws {
        world = try World()
    }

    private var withoutStreets: Refrain.Filter {
        { [seen] subject, properties in
            seen.add(subject)
            if subject == .event("Debug") { return nil }
            var kept = properties
            kept["street"] = nil as (any RefrainValue)??
            for (name, value) in kept {
                guard case var .object(members)? = value?.refrainValue else { continue }
                members["street"] = nil
                kept[name] = Refrain.Value.object(members)
            }
            return kept
        }
    }

    @Test func whatItTakesOutIsNeverRecorded() async throws {
        let client = try world.client(granted: true) { $0.filter = withoutStreets }
        #expect(client.register(["street": "Elm Street 9", "region": "eu"]) == .accepted)
        #expect(client.track("Moved", ["street": "Elm Street 9", "to": ["city": "Bonn", "street": "9"]]) == .accepted)
        #expect(client.profile().set(address) == .accepted)
        #expect(reason(client.track("Debug")) == "filtered")
        #expect(await client.flush(timeout: 60))
        let moved = try await world.server.properties(of: "Moved")
        #expect(moved.only(["region", "to"]) == ["region": "eu", "to": ["city": "Bonn"]])
        #expect(!moved.names.contains("street"))
        #expect(seen.subjects == [.registered, .event("Moved"), .profile, .event("Debug")])
        #expect(client.stats().rejected == 1)
    }

    @Test func whoseProfileItIsIsNotForItToSeeOrSay() async throws {
        let names = Kept<String>()
        let client = try world.client(granted: true) {
            $0.filter = { _, properties in
                for name in properties.keys { names.add(name) }
                return ["$set": properties["$set"] ?? nil, "$group_key": "company", "$group_id": "another"]
            }
        }
        #expect(client.group("company", "acme").set(address) == .accepted)
        #expect(await client.flush(timeout: 60))
        #expect(names.all == ["$set"])
        let groups = try await world.server.get("/mock/groups")["groups"].elements
        #expect(groups.map { $0["group_id"] } == ["acme"])
    }

    @Test func whatIsHeldHasPassedIt() async throws {
        let client = try world.client { $0.filter = withoutStreets }
        #expect(client.track("Early", address) == .held)
        #expect(seen.subjects == [.event("Early")])
        try await client.optIn()
        #expect(await client.flush(timeout: 60))
        let early = try await world.server.properties(of: "Early")
        #expect(early["city"] == "Bonn")
        #expect(!early.names.contains("street"))
    }

    @Test func whatItCannotJudgeIsNotRecorded() throws {
        struct Fault: Error {}
        let client = try world.client(granted: true) { $0.filter = { _, _ in throw Fault() } }
        let hint = "properties are not recorded: the filter that this app has set has thrown Fault"
        #expect(client.track("Moved", address) == .rejected(reason: "filtered", hint: hint))
        #expect(client.stats().rejected == 1)
    }

    @Test func whatItMakesHasToBeFit() throws {
        let client = try world.client(granted: true) { $0.filter = { _, _ in ["ratio": Double.nan] } }
        #expect(reason(client.track("Moved")) == "not_finite")
    }
}

/// What a filter has seen, from whatever thread.
final class Seen: @unchecked Sendable {
    private let lock = NSLock()
    private var list: [Refrain.Subject] = []

    var subjects: [Refrain.Subject] { lock.withLock { list } }

    func add(_ subject: Refrain.Subject) {
        lock.withLock { list.append(subject) }
    }
}
