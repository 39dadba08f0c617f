import Testing

@testable import Refrain

/// What the app hears of where consent stands.
@Suite struct ConsentTests {
    @Test func itIsToldAtTheStartAndAtEveryChange() async throws {
        let world = try World()
        let (stream, heard) = AsyncStream<Refrain.Consent>.makeStream()
        let client = try world.client { $0.onConsent = { heard.yield($0) } }
        var changes = stream.makeAsyncIterator()
        #expect(await changes.next()?.verdict == .hold)
        try await client.optIn()
        #expect(await changes.next()?.verdict == .allow)
        try await client.optOut()
        #expect(await changes.next()?.decision == .denied)
        await client.close()
    }
}
