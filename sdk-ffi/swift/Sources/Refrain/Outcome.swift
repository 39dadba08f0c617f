internal import RefrainFFI

extension Refrain {
    /// What became of a call that records.
    public enum Outcome: Sendable, Hashable {
        /// Recorded.
        case accepted
        /// Kept in memory until the person decides.
        case held
        /// Not recorded. `reason` is a stable word: `denied`, `empty_name`, `not_finite`, …; `hint` is one sentence
        /// that says what to do about it.
        case rejected(reason: String, hint: String)

        /// Whether nothing was recorded.
        public var isRejected: Bool {
            if case .rejected = self { true } else { false }
        }
    }
}

extension Refrain.Outcome {
    /// What the number means that a call has returned.
    init(code: UInt8) {
        switch code {
        case 0: self = .accepted
        case 1: self = .held
        default:
            switch RefrainFFI.outcome(code: code) {
            case .accepted: self = .accepted
            case .held: self = .held
            case let .rejected(reason, hint): self = .rejected(reason: reason, hint: hint)
            }
        }
    }
}
