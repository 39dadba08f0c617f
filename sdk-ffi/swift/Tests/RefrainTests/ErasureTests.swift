import Foundation
import Testing

@testable import Refrain

/// What was sent is erased on demand, and the receipt comes back.
@Suite struct ErasureTests {
    @Test func c12WhatADeviceSentIsGoneAndTheReceiptComesBack() async throws {
        let world = try World()
        let client = try world.client(granted: true)
        client.track("Before", ["note": "planted"])
        client.identify("ada")
        client.profile().set(["plan": "pro"])
        #expect(await client.flush(timeout: 60))
        let device = try #require(client.deviceId)
        #expect(try await world.server.names() == ["$identify", "Before"])

        try await client.optOut(erase: true, deleteProfile: true)

        let outbox = await finished(client)
        #expect(outbox.map(\.kind) == ["device", "profile"])
        #expect(outbox.map(\.state) == ["completed", "completed"])
        let erasure = try #require(outbox.first)
        #expect(erasure.deviceId == device)
        let answer = try #require(erasure.answer)
        let receipt = Refrain.Value(any: try JSONSerialization.jsonObject(with: Data(answer.utf8)))["receipt"]
        #expect(receipt["counts"]["events"] == 2)
        #expect(receipt.names.contains("signature"))
        #expect(try await world.server.events() == [])
        #expect(try await world.server.get("/mock/profiles")["profiles"].elements.isEmpty)
        #expect(client.audit().files.allSatisfy { $0.kind == "consent" })
        #expect(try world.folder.holds("planted") == [])

        // The next start knows of it.
        await client.close(timeout: 60)
        let later = try world.client(granted: true)
        #expect(later.hasOptedOut())
        #expect(later.audit().outbox.map(\.state) == ["completed", "completed"])
    }

    @Test func c12AnErasureOutlivesAServerThatIsNotThere() async throws {
        let world = try World()
        let client = try world.client(granted: true)
        client.track("Before")
        #expect(await client.flush(timeout: 60))
        await client.close(timeout: 60)
        let silent = try nobody()
        let offline = try world.client(granted: true) { $0.endpoint = silent }
        try await offline.optOut(erase: true)
        await offline.close(timeout: 0)
        #expect(try await world.server.names() == ["Before"])

        let later = try world.client(granted: true)
        #expect(await finished(later).map(\.state) == ["completed"])
        #expect(try await world.server.names() == [])
    }
}

/// The outbox, once no entry of it waits for anything.
private func finished(_ client: Refrain) async -> [Refrain.Audit.Erasure] {
    while true {
        let outbox = client.audit().outbox
        if outbox.allSatisfy({ ["completed", "refused"].contains($0.state) }) { return outbox }
        await client.flush(timeout: 60)
        await Task.yield()
    }
}
