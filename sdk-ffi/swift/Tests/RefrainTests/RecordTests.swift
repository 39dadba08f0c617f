import Foundation
import Testing

@testable import Refrain

/// Records arrive, with what was said about them.
@Suite struct RecordTests {
    let world: World

    init() throws {
        world = try World()
    }

    @Test func anEventArrivesAsTheWireWantsIt() async throws {
        let client = try world.client(granted: true)
        let given: Refrain.Properties = [
            "plan": "pro", "seats": 3, "ratio": 0.5, "who": "Zoë 🎈", "none": nil, "first": true,
        ]
        #expect(client.track("Gekauft: Bücher 📚", given) == .accepted)
        #expect(await client.flush(timeout: 60))

        let properties = try await world.server.properties(of: "Gekauft: Bücher 📚")
        let expected: Refrain.Value = [
            "plan": "pro", "seats": 3, "ratio": 0.5, "who": "Zoë 🎈", "none": nil, "first": true,
        ]
        #expect(properties.only(given.keys) == expected)
        #expect(properties["mp_lib"] == "refrain-swift")
        #expect(properties["distinct_id"].text == "$device:" + (client.deviceId ?? ""))
        #expect(properties["distinct_id"].text == client.distinctId)
        #expect(properties["$insert_id"].text.count == 32)
        let stats = client.stats()
        #expect([stats.tracked, stats.delivered, stats.queued, stats.rejected] == [1, 1, 0, 0])
        let request = try await world.server.get("/mock/requests")["requests"].elements.first {
            $0["path"] == "/track/"
        }
        #expect(request?["method"] == "POST")
    }

    @Test func automaticPropertiesAreTheWeakest() async throws {
        let client = try world.client(granted: true) {
            $0.automaticProperties = [
                "app": "1.0", "since": Date(timeIntervalSince1970: 0), "plan": "-", "step": "-", "by": "-",
            ]
            $0.denyList = ["by"]
        }
        client.track("before")
        client.register(["plan": "free", "source": "ad"])
        client.registerForSession(["step": 1])
        client.track("after", ["source": "mail", "step": 2])
        client.profile().set(["name": "Zoë"])
        #expect(client.audit().superProperties.sorted() == ["plan", "source", "step"])
        let person = try #require(client.distinctId)
        client.reset()
        client.track("another person", ["plan": nil])
        #expect(await client.flush(timeout: 60))

        let names: Set = ["app", "since", "plan", "step", "source", "by"]
        for (event, wanted) in [
            ("before", ["plan": "-", "step": "-"]),
            ("after", ["plan": "free", "step": 2, "source": "mail"]),
            ("another person", ["plan": nil, "step": "-"]),
        ] as [(String, [String: Refrain.Value])] {
            let properties = try await world.server.properties(of: event)
            let always: [String: Refrain.Value] = ["app": "1.0", "since": "1970-01-01T00:00:00"]
            #expect(
                properties.only(properties.names.intersection(names))
                    == .object(always.merging(wanted) { $1 }), "\(event)")
        }
        let profiles = try await world.server.get("/mock/profiles")["profiles"].elements
        let profile = try #require(profiles.first { $0["distinct_id"].text == person })
        #expect(profile["properties"].names.isDisjoint(with: names))
    }

    @Test func clientsOnAFolderHaveTheSameAutomaticProperties() throws {
        // The order of a dictionary is another one with another capacity.
        var names = (0..<20).map { "p\($0)" }
        let first = try world.client {
            $0.automaticProperties = Dictionary(uniqueKeysWithValues: names.map { ($0, 1) })
        }
        names.reverse()
        let second = try world.client {
            for name in names {
                $0.automaticProperties[name] = 1
            }
            $0.automaticProperties.reserveCapacity(1_000)
        }
        #expect(first.deviceId == second.deviceId)
        #expect {
            try world.client { $0.automaticProperties = ["p0": 1] }
        } throws: { error in
            "\(error)".contains("another automaticProperties")
        }
    }

    @Test func identityAndSuperProperties() async throws {
        let client = try world.client(granted: true)
        client.track("before")
        client.register(["plan": "free", "theme": "dark"])
        client.registerOnce(["plan": "pro", "source": "ad"])
        client.unregister("theme")
        client.identify("user-1")
        client.track("after", ["source": "mail"])
        let device = client.deviceId
        client.reset()
        client.track("another person")
        #expect(await client.flush(timeout: 60))

        let after = try await world.server.properties(of: "after")
        #expect(after["distinct_id"] == "user-1")
        #expect(after["$user_id"] == "user-1")
        #expect(after["$device_id"].text == device)
        #expect(after.only(["plan", "source"]) == ["plan": "free", "source": "mail"])
        #expect(!after.names.contains("theme"))
        #expect(try await !world.server.properties(of: "before").names.contains("plan"))
        let another = try await world.server.properties(of: "another person")
        #expect(!another.names.contains("plan"))
        #expect(another["$device_id"].text != device)
        #expect(try await world.server.names().contains("$identify"))
    }

    @Test func profilesGroupsAndTimers() async throws {
        let client = try world.client(granted: true)
        client.identify("ada")
        #expect(client.profile().set(["plan": "pro", "street": "x", "tags": ["a"]]) == .accepted)
        #expect(client.profile().setOnce(["plan": "free", "since": 2026]) == .accepted)
        #expect(client.profile().add(["logins": 2]) == .accepted)
        #expect(client.profile().append(["tags": "b"]) == .accepted)
        #expect(client.profile().union(["tags": ["b", "c"]]) == .accepted)
        #expect(client.profile().remove(["tags": "a"]) == .accepted)
        #expect(client.profile().unset("street", "city") == .accepted)
        #expect(client.group("company", "acme").set(["products": ["umbrella"]]) == .accepted)
        #expect(client.addGroup("company", "acme") == .accepted)
        #expect(client.addGroup("company", "other") == .accepted)
        #expect(client.registerForSession(["tab": 1]) == .accepted)
        #expect(client.timeEvent("Read") == .accepted)
        #expect(client.audit().timers == 1)
        #expect(client.audit().superProperties == ["company", "tab"])
        #expect(client.track("Read") == .accepted)
        #expect(reason(client.profile().add(["logins": "1"])) == "invalid_operator")
        #expect(reason(client.group("", "acme").set(["a": 1])) == "empty_group")
        #expect(reason(client.setGroup("company", "")) == "empty_group")
        #expect(client.switchUser("bob") == .accepted)
        #expect(client.track("second") == .accepted)
        #expect(client.setGroup("company", "other") == .accepted)
        #expect(client.setGroup("company", "Straße 7") == .accepted)
        #expect(client.track("third") == .accepted)
        #expect(client.removeGroup("company", "Straße 7") == .accepted)
        #expect(client.track("fourth") == .accepted)
        #expect(await client.flush(timeout: 60))

        let read = try await world.server.properties(of: "Read")
        #expect(
            read.only(["company", "tab", "$user_id"]) == ["company": ["acme", "other"], "tab": 1, "$user_id": "ada"])
        #expect(read.names.contains("$duration"))
        let second = try await world.server.properties(of: "second")
        #expect(second["$device_id"] != read["$device_id"])
        #expect(!second.names.contains("company"))
        #expect(try await world.server.properties(of: "third")["company"] == ["Straße 7"])
        #expect(try await !world.server.properties(of: "fourth").names.contains("company"))
        let profiles = try await world.server.get("/mock/profiles")["profiles"].elements
        let ada = profiles.first { $0["distinct_id"] == "ada" }?["properties"]
        #expect(ada?.only(["plan", "since", "logins"]) == ["plan": "pro", "since": 2026, "logins": 2])
        #expect(ada?["tags"] == ["b", "c"])
        #expect(ada?.names.contains("street") == false)
        let groups = try await world.server.get("/mock/groups")["groups"].elements
        #expect(groups.contains { $0["group_id"] == "acme" && $0["properties"]["products"] == ["umbrella"] })
    }

    @Test func aProfileIsDeletedOnDemand() async throws {
        let client = try world.client(granted: true)
        client.identify("ada")
        client.profile().set(["plan": "pro"])
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.get("/mock/profiles")["profiles"].elements.count == 1)
        #expect(client.profile().delete() == .accepted)
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.get("/mock/profiles")["profiles"].elements.isEmpty)
    }

    @Test func manyRecordsTravelInBatches() async throws {
        let client = try world.client(granted: true) { $0.batchSize = 40 }
        for page in 0..<100 {
            #expect(client.track("Viewed", ["page": page]) == .accepted)
        }
        #expect(await client.flush(timeout: 60))
        #expect(try await world.server.events().map { $0["properties"]["page"] } == (0..<100).map { .int($0) })
        #expect(try await (3...4).contains(world.server.arrived()))
    }

    @Test func manyTasksRecordAtOnce() async throws {
        let client = try world.client(granted: true)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<50 {
                group.addTask {
                    for number in 0..<20 {
                        client.track("Viewed", ["task": task, "number": number])
                    }
                }
            }
        }
        #expect(await client.flush(timeout: 60))
        let seen = try await world.server.events().map { $0["properties"].only(["task", "number"]) }
        #expect(seen.count == 1000)
        #expect(Set(seen).count == 1000)
        #expect(client.stats().delivered == 1000)
    }

    @Test func aClosedClientRefusesQuietly() async throws {
        let client = try world.client(granted: true)
        await client.close()
        #expect(reason(client.track("late")) == "closed")
        await client.close()
        #expect(try await world.server.names() == [])
    }

    @Test func theVersionIsTold() {
        #expect(Refrain.version.split(separator: ".").count == 3)
    }
}

func reason(_ outcome: Refrain.Outcome) -> String? {
    if case let .rejected(reason, _) = outcome { reason } else { nil }
}
