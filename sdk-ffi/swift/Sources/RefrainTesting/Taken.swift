import Refrain

/// A record that the collector has taken.
struct Taken: CustomStringConvertible {
    enum Kind {
        case event, profile
    }

    let kind: Kind
    let members: [String: Refrain.Value]
    /// A test has expected it already.
    var isExpected = false

    var description: String {
        let what = kind == .event ? SentEvent(members).name : members.shown
        return isExpected ? "\(what) (expected before)" : what
    }
}
