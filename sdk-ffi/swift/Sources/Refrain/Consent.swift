internal import RefrainFFI

extension Refrain {
    /// Where consent stands.
    public struct Consent: Sendable, Hashable {
        /// What the person chose.
        public let decision: Decision
        /// What may be done now.
        public let verdict: Verdict
        /// Why, as a stable word: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`.
        public let reason: String
        /// One sentence to show to the person.
        public let sentence: String
    }

    /// What the person chose.
    public enum Decision: String, Sendable {
        case granted
        case denied
        /// Nothing has been decided yet.
        case unset
    }

    /// What may be done now.
    public enum Verdict: String, Sendable {
        /// Record and send.
        case allow
        /// Keep calls in memory until the person decides.
        case hold
        /// Do nothing.
        case deny
    }
}

extension Refrain.Consent {
    init(_ consent: RefrainFFI.Consent) {
        // A word that this package does not know is no permission.
        decision = Refrain.Decision(rawValue: consent.decision) ?? .denied
        verdict = Refrain.Verdict(rawValue: consent.verdict) ?? .deny
        reason = consent.reason
        sentence = consent.sentence
    }
}
