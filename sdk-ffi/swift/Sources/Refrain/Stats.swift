internal import RefrainFFI

extension Refrain {
    /// What became of every record since the client was made. At all times
    /// `tracked + recovered + adopted == delivered + queued + held + (the sum of dropped) + givenUp`.
    public struct Stats: Sendable, Hashable {
        /// Records made here.
        public let tracked: UInt64
        /// Records found in the client's own queue at the start.
        public let recovered: UInt64
        /// Records found in queues whose owner is gone.
        public let adopted: UInt64
        /// Records that the collector has accepted.
        public let delivered: UInt64
        /// Records waiting to be delivered.
        public let queued: UInt64
        /// Calls waiting for a decision.
        public let held: UInt64
        /// Records that were dropped, by reason. Every reason is present.
        public let dropped: [String: UInt64]
        /// Records that were handed over to another owner, which delivers them.
        public let givenUp: UInt64
        /// Bytes waiting to be delivered.
        public let queuedBytes: UInt64
        /// Stored records that could not be read back. Not part of the balance.
        public let damaged: UInt64
        /// Files deleted unread because consent was withdrawn. Not part of the balance.
        public let wiped: UInt64
        /// Calls that were rejected, so that nothing was recorded.
        public let rejected: UInt64
        /// Personal data found in calls, whether recorded or rejected, by kind: `email`, `card`, `iban`, `jwt`. Not
        /// part of the balance.
        public let personalData: [String: UInt64]
    }
}

extension Refrain.Stats {
    init(_ stats: RefrainFFI.Stats) {
        tracked = stats.tracked
        recovered = stats.recovered
        adopted = stats.adopted
        delivered = stats.delivered
        queued = stats.queued
        held = stats.held
        dropped = stats.dropped
        givenUp = stats.givenUp
        queuedBytes = stats.queuedBytes
        damaged = stats.damaged
        wiped = stats.wiped
        rejected = stats.rejected
        personalData = stats.personalData
    }
}
