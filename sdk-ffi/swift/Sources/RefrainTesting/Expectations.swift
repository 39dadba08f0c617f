import Foundation
import Refrain

extension TestClient {
    /// Expects an event of this name that has at least these properties, and returns the first one that the collector
    /// has taken and no earlier expectation has matched. If there is none yet, queued records are sent first.
    /// Dictionaries among the properties may have additional members too; everything else has to be equal. A date is
    /// compared as the text that was sent.
    ///
    /// - Parameter timeout: how long to wait, in seconds, while something is queued that could be the event.
    /// - Throws: ``ExpectationFailure`` if there is none. It lists what has arrived, and describes the state of consent
    ///   and of the queue.
    @discardableResult
    public func expectEvent(
        _ name: String, _ properties: Refrain.Properties = [:], timeout: TimeInterval = 10,
        fileID: String = #fileID, line: Int = #line
    ) async throws(ExpectationFailure) -> SentEvent {
        let wanted = properties.mapValues { $0?.refrainValue ?? .null }
        let found = await expect(.event, within: timeout) {
            let event = SentEvent($0)
            return event.name == name && event.properties.contains(wanted)
        }
        if let found { return SentEvent(found) }
        var text = "no event \(name.debugDescription)\(wanted.isEmpty ? "" : " with \(wanted.shown)") has arrived"
        for event in events where event.name == name {
            let differences = event.properties.differences(from: wanted)
            text +=
                differences.isEmpty
                ? "\n  one was the same, and expected before"
                : "\n  one differed: \(differences.joined(separator: ", "))"
        }
        throw failure(text, fileID, line)
    }

    /// Expects an update of a person's or a group's profile that has at least these members, such as
    /// `["$set": ["plan": "pro"]]`. Otherwise like ``expectEvent(_:_:timeout:fileID:line:)``.
    ///
    /// - Returns: the update as it was sent.
    @discardableResult
    public func expectProfile(
        _ members: Refrain.Properties, timeout: TimeInterval = 10, fileID: String = #fileID, line: Int = #line
    ) async throws(ExpectationFailure) -> [String: Refrain.Value] {
        let wanted = members.mapValues { $0?.refrainValue ?? .null }
        if let found = await expect(.profile, within: timeout, { $0.contains(wanted) }) { return found }
        let updates = collector.taken(.profile).map { "\n  update: \($0)" }.joined()
        throw failure("no profile update with \(wanted.shown) has arrived\(updates)", fileID, line)
    }

    /// Expects that nothing has been sent since the last expectation (or the beginning); queued records are sent first.
    /// Erasures, and deletions of profiles with an objection, do not count.
    ///
    /// - Throws: ``ExpectationFailure`` if something was sent. It lists what.
    public func expectNothingSent(fileID: String = #fileID, line: Int = #line) async throws(ExpectationFailure) {
        await client.flush(timeout: hang)
        let sent = collector.unseen().filter { !$0.isWish }
        if sent.isEmpty { return }
        let list = sent.map { "\n  \($0.url): \($0.body?.shown ?? "")" }.joined()
        throw failure("something has left\(list)", fileID, line)
    }

    /// Expects that the client holds nothing but the record of the person's choice and the erasure outbox: no ids, no
    /// properties and no records, in memory or on disk.
    ///
    /// - Throws: ``ExpectationFailure`` if it holds more. It lists what.
    public func expectNothingKept(fileID: String = #fileID, line: Int = #line) async throws(ExpectationFailure) {
        let client = client
        let audit = await waiting { client.audit() }
        var kept = audit.files.filter { $0.kind != "consent" }.map { "the file \($0.name), \($0.bytes) bytes" }
        kept += audit.superProperties.map { "the super property \($0.debugDescription)" }
        if let id = audit.deviceId { kept.append("device id: \(id)") }
        if let id = audit.distinctId { kept.append("distinct_id: \(id)") }
        // Not requests under way: with this collector only those for erasures last.
        let counts = [
            ("running timers", audit.timers),
            ("records that wait for a decision", audit.heldRecords),
            ("records that wait to be delivered", audit.queuedRecords),
        ]
        kept += counts.filter { $0.1 > 0 }.map { "\($0): \($1)" }
        if kept.isEmpty { return }
        throw failure("something is kept" + kept.map { "\n  \($0)" }.joined(), fileID, line)
    }

    private func expect(
        _ kind: Taken.Kind, within timeout: TimeInterval, _ fits: ([String: Refrain.Value]) -> Bool
    ) async -> [String: Refrain.Value]? {
        let until = Date(timeIntervalSinceNow: timeout)
        if let found = collector.expect(kind, fits) { return found }
        while true {
            let left = until.timeIntervalSinceNow
            await client.flush(timeout: max(left, 0))
            let arrived = collector.requests.count
            if let found = collector.expect(kind, fits) { return found }
            if left <= 0 || client.stats().queued == 0 { return nil }
            // A retry is on its way, or a pause that the collector has asked for.
            let collector = collector
            await waiting { collector.waitForRequest(after: arrived, until: until) }
        }
    }

    private func failure(_ text: String, _ fileID: String, _ line: Int) -> ExpectationFailure {
        let (consent, stats) = (client.consent(), client.stats())
        let arrived = collector.taken(.event).map(\.description).joined(separator: ", ")
        var text = "\(fileID):\(line): \(text)"
        text += "\n  arrived: \(arrived.isEmpty ? "no event" : arrived)"
        text += "\n  consent: \(consent.sentence)"
        text += "\n  records: \(stats.tracked) made, \(stats.delivered) delivered, \(stats.queued) queued, "
        text += "\(stats.held) held, \(stats.rejected) refused"
        for (reason, count) in stats.dropped.sorted(by: { $0.key < $1.key }) where count > 0 {
            text += ", \(count) dropped (\(reason))"
        }
        if let last = collector.requests.last {
            text += "\n  last answer of the collector: \(last.status)"
        }
        if collector.isAway {
            text += "\n  the collector is away: collectorAway(false) brings it back"
        }
        switch consent.verdict {
        case .allow: break
        case .hold: text += "\n  what is held leaves after optIn()"
        case .deny: text += "\n  nothing is recorded before optIn()"
        }
        return ExpectationFailure(description: text)
    }
}
