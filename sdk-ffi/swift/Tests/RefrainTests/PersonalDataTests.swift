import Foundation
import Testing

@testable import Refrain

private let properties: Refrain.Properties = [
    "note": "mail alice@example.com, pay 4111 1111 1111 1111", "to": ["DE89370400440532013000"],
    "card": 4_111_111_111_111_111,
    "plan": "pro",
]
private let found: [String: UInt64] = ["email": 1, "card": 2, "iban": 1, "jwt": 0]

/// The detector for personal data: counted, and never recorded where that was asked for.
@Suite struct PersonalDataTests {
    let world: World

    init() throws {
        world = try World()
    }

    /// What is recorded, and what is counted.
    private func recorded(
        _ configure: (inout Refrain.Configuration) -> Void
    ) async throws -> (Refrain.Value, [String: UInt64]) {
        let client = try world.client(granted: true, configure)
        #expect(client.track("Paid", properties) == .accepted)
        #expect(await client.flush(timeout: 60))
        return try await (world.server.properties(of: "Paid"), client.stats().personalData)
    }

    private var asGiven: Refrain.Value { .object(properties.mapValues { $0?.refrainValue ?? .null }) }

    @Test func offUnlessChosen() async throws {
        let (paid, counts) = try await recorded { _ in }
        #expect(paid.only(properties.keys) == asGiven)
        #expect(counts == found.mapValues { _ in 0 })
    }

    @Test func observeCounts() async throws {
        let (paid, counts) = try await recorded { $0.personalData = .observe }
        #expect(paid.only(properties.keys) == asGiven)
        #expect(counts == found)
    }

    @Test func redactRecordsPlaceholders() async throws {
        let (paid, counts) = try await recorded { $0.personalData = .redact }
        let redacted: Refrain.Value = [
            "note": "mail [email], pay [card]", "to": ["[iban]"], "card": "[card]", "plan": "pro",
        ]
        #expect(paid.only(properties.keys) == redacted)
        #expect(counts == found)
    }

    @Test func whatIsAllowedByNameStays() async throws {
        let (paid, _) = try await recorded {
            $0.personalData = .redact
            $0.personalDataAllow = ["note"]
        }
        #expect(paid["note"] == asGiven["note"])
        #expect(paid["card"] == "[card]")
    }

    @Test func rejectRecordsNothingAndSaysWhy() async throws {
        let client = try world.client(granted: true) { $0.personalData = .reject }
        let outcome = client.track("Paid", properties)
        #expect(reason(outcome) == "personal_data")
        #expect(!"\(outcome)".contains("alice"))
        #expect(client.track("Paid", ["plan": "pro"]) == .accepted)
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.events().count == 1)
        let stats = client.stats()
        #expect([stats.tracked, stats.rejected] == [1, 1])
        #expect(stats.personalData == found)
    }

    @Test func whatIsDeniedByNameIsNeverRecorded() async throws {
        let client = try world.client(granted: true) { $0.denyList = ["card", "to"] }
        #expect(client.register(["to": "x", "region": "eu"]) == .accepted)
        #expect(client.track("Paid", properties) == .accepted)
        #expect(await client.flush(timeout: 60))
        let paid = try await world.server.properties(of: "Paid")
        #expect(paid.only(["plan", "region"]) == ["plan": "pro", "region": "eu"])
        #expect(paid.names.isDisjoint(with: ["card", "to"]))
    }
}
