internal import RefrainFFI

extension Refrain {
    /// The result of a recording call.
    public enum Outcome: Sendable, Hashable {
        /// The call was recorded.
        case accepted
        /// The call is kept in memory until the person decides.
        case held
        /// The call was not recorded. `reason` is a stable word: `denied`, `empty_name`, `not_finite`, …; `hint` is one
        /// sentence on what to do about it.
        case rejected(reason: String, hint: String)

        /// Whether the call was rejected, so that nothing was recorded.
        public var isRejected: Bool {
            if case .rejected = self { true } else { false }
        }
    }
}

extension Refrain.Outcome {
    /// Decodes the number that a call has returned.
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
