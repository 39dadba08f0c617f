import Refrain

/// A request whose body has left the client, whether or not the collector took it.
public struct SentRequest: Sendable, Hashable {
    /// Where it went.
    public let url: String
    /// Its body; `nil` if it had none.
    public let body: Refrain.Value?
    /// The status with which the collector answered.
    public let status: Int
}

extension SentRequest {
    /// Whether the person asked for this with an objection. Such a deletion is sent alone and names the device's own
    /// profile, which no call of an app does; the user's profile goes with it.
    var isWish: Bool {
        if asksForErasure(url) { return true }
        let updates = (body?.elements ?? []).map(\.members)
        return updates.allSatisfy { $0["$delete"] != nil } && updates.contains { $0["$ignore_alias"] != nil }
    }
}

/// Whether an address is one of the erasure outbox's.
func asksForErasure(_ url: String) -> Bool {
    url.contains("/refrain/v1/erasures")
}
